import { expect, test } from "vitest";
import { readSettings } from "./settings.ts";

const SECRET = { VALET_BROKER_SECRET: "the-secret-of-these-tests" };

test("arguments come before the environment, and that before the defaults", () => {
  const secret = SECRET.VALET_BROKER_SECRET;
  expect(readSettings(["--", "bun", "--smol", "bin.ts"], SECRET)).toEqual({
    stateDir: ".valet/broker",
    host: "127.0.0.1",
    port: 0,
    secret,
    entrypoint: ["bun", "--smol", "bin.ts"],
  });
  const env = { ...SECRET, VALET_BROKER_STATE: "/env", VALET_BROKER_HOST: "::1", VALET_BROKER_PORT: "1" };
  expect(readSettings(["true"], env)).toEqual({ stateDir: "/env", host: "::1", port: 1, secret, entrypoint: ["true"] });
  const args = ["--state", "/arg", "--host", "0.0.0.0", "--port", "2", "true"];
  expect(readSettings(args, env)).toEqual({ stateDir: "/arg", host: "0.0.0.0", port: 2, secret, entrypoint: ["true"] });
});

test.each<[string, string[], Record<string, string>, string]>([
  ["no secret", ["true"], {}, "VALET_BROKER_SECRET is not set"],
  ["no entrypoint", [], SECRET, "ENTRYPOINT is missing"],
  ["a port that is none", ["--port", "http", "true"], SECRET, "from 0 to 65535"],
  ["a port that cannot be", ["true"], { ...SECRET, VALET_BROKER_PORT: "65536" }, "from 0 to 65535"],
  ["an unknown option", ["--prot", "1", "true"], SECRET, "--prot"],
])("%s is named", (_, args, env, message) => {
  expect(() => readSettings(args, env)).toThrow(message);
});
