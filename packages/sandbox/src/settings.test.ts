import { SANDBOX_DRIVERS } from "@valet/shared/spans";
import { BROKER_VARIABLES } from "@valet/shared/variables";
import { expect, test } from "vitest";
import { HELP, readSettings } from "./settings.ts";

const SECRET = { VALET_BROKER_SECRET: "the-secret-of-these-tests" };

test("arguments take precedence over the environment, and the environment over the defaults", () => {
  const secret = SECRET.VALET_BROKER_SECRET;
  expect(readSettings(["--", "bun", "--smol", "bin.ts"], SECRET)).toEqual({
    driver: "local",
    stateDir: ".valet/broker",
    host: "127.0.0.1",
    port: 0,
    secret,
    entrypoint: ["bun", "--smol", "bin.ts"],
  });
  const env = { ...SECRET, VALET_BROKER_STATE: "/env", VALET_BROKER_HOST: "::1", VALET_BROKER_PORT: "1" };
  const local = { driver: "local", secret, entrypoint: ["true"] };
  expect(readSettings(["true"], env)).toEqual({ ...local, stateDir: "/env", host: "::1", port: 1 });
  const limited = { ...env, VALET_BROKER_MAX_SANDBOXES: "5" };
  expect(readSettings(["true"], limited)).toMatchObject({ maxSandboxes: 5 });
  expect(readSettings(["--max-sandboxes", "6", "true"], limited)).toMatchObject({ maxSandboxes: 6 });
  const args = ["--state", "/arg", "--host", "0.0.0.0", "--port", "2", "true"];
  expect(readSettings(args, env)).toEqual({ ...local, stateDir: "/arg", host: "0.0.0.0", port: 2 });
});

test("the driver is chosen by argument or environment, and modal has its own settings", () => {
  const env = { ...SECRET, MODAL_TOKEN_ID: "ak-1", MODAL_TOKEN_SECRET: "as-1", VALET_MODAL_IMAGE: "im-1" };
  const modal = { driver: "modal", app: "valet", image: "im-1", tokenId: "ak-1", tokenSecret: "as-1" };
  expect(readSettings(["--driver", "modal", "true"], env)).toMatchObject(modal);
  const chosen = { ...env, VALET_BROKER_DRIVER: "modal", VALET_MODAL_APP: "other" };
  expect(readSettings(["--image", "im-2", "true"], chosen)).toMatchObject({ ...modal, app: "other", image: "im-2" });
  expect(readSettings(["--driver", "local", "true"], chosen)).toMatchObject({ driver: "local" });
});

/** All that any driver asks for. */
const EVERYTHING = {
  ...Object.fromEntries(Object.keys(BROKER_VARIABLES).map((name) => [name, "1"])),
  VALET_BROKER_ISOLATION: "none",
  VALET_SANDBOX_MEMORY_BYTES: "1000000000",
  VALET_SANDBOX_PROCESSES: "100",
  VALET_SANDBOX_DISK_BYTES: "1000000000",
  VALET_SANDBOX_OPEN_FILES: "1000",
};

test.each(SANDBOX_DRIVERS)("the driver %s has settings, and is in the help text", (driver) => {
  const env = { ...EVERYTHING, ...SECRET };
  expect(readSettings(["--driver", driver, "true"], env)).toMatchObject({ driver });
  expect(HELP).toContain(`${driver}: `);
  expect(HELP).toMatch(new RegExp(`^Options of the driver ${driver}\\b`, "m"));
  expect(BROKER_VARIABLES.VALET_BROKER_DRIVER.meaning).toContain(`\`${driver}\``);
});

test.each<[string, string[], Record<string, string>, string]>([
  ["no secret", ["true"], {}, "VALET_BROKER_SECRET is not set"],
  ["no entrypoint", [], SECRET, "ENTRYPOINT is missing"],
  ["a port that is not a number", ["--port", "http", "true"], SECRET, "from 0 to 65535"],
  ["a port out of range", ["true"], { ...SECRET, VALET_BROKER_PORT: "65536" }, "from 0 to 65535"],
  ["zero sandboxes", ["--max-sandboxes", "0", "true"], SECRET, "a whole number above 0"],
  ["too little memory", ["true"], { ...SECRET, VALET_SANDBOX_MEMORY_BYTES: "1" }, "VALET_SANDBOX_MEMORY_BYTES"],
  ["an unknown isolation", ["--isolation", "chroot", "true"], SECRET, "bwrap or none"],
  ["a scope that cannot be a name", ["--driver", "docker", "--scope", "A b", "true"], SECRET, "small letters"],
  ["an unknown driver", ["--driver", "podman", "true"], SECRET, "local or docker or modal"],
  ["no image for modal", ["--driver", "modal", "true"], SECRET, "VALET_MODAL_IMAGE"],
  ["no token for modal", ["--driver", "modal", "--image", "im-1", "true"], SECRET, "MODAL_TOKEN_ID is not set"],
  ["an unknown option", ["--prot", "1", "true"], SECRET, "--prot"],
])("%s is an error that names it", (_, args, env, message) => {
  expect(() => readSettings(args, env)).toThrow(message);
});
