/** The environment that child processes get, with a stand-in for Bun, which these tests do not run in. */
import { expect, onTestFinished, test } from "vitest";
import { keepFromChildren } from "./child-environment.ts";

const secrets = { KEY: "secret" };

function setUp() {
  process.env.KEY = "secret";
  onTestFinished(() => {
    delete process.env.KEY;
  });
  const started: unknown[][] = [];
  let ofShells: Readonly<Record<string, string | undefined>> | undefined;
  const start = (...args: unknown[]) => void started.push(args);
  const Bun = {
    spawn: start,
    spawnSync: start,
    $: {
      env(environment: Readonly<Record<string, string | undefined>>) {
        ofShells = environment;
      },
    },
  };
  keepFromChildren(secrets, { Bun });
  return { Bun, started, ofShells: () => ofShells };
}

test.each(["spawn", "spawnSync"] as const)(
  "%s passes the environment on without the secrets, in each of its forms",
  (name) => {
    const { Bun, started } = setUp();
    Bun[name](["env"]);
    Bun[name](["env"], { env: process.env });
    Bun[name]({ cmd: ["env"] } as object);
    Bun[name]({ cmd: ["env"], env: { ...process.env } } as object);
    for (const args of started) {
      const { env } = args.at(-1) as { env: Record<string, string> };
      expect(env).toMatchObject({ PATH: process.env.PATH });
      expect(env).not.toHaveProperty("KEY");
    }
    expect(started[0]?.[0]).toEqual(["env"]);
    expect(started[2]).toMatchObject([{ cmd: ["env"] }]);
  },
);

test("a value that a trusted repository names for a program is passed on", () => {
  const { Bun, started } = setUp();
  Bun.spawn(["env"], { env: { KEY: "its own", UNSET: undefined } });
  expect(started).toEqual([[["env"], { env: { KEY: "its own" } }]]);
});

test("commands of Bun's shell get no secret either", () => {
  const { ofShells } = setUp();
  expect(ofShells()).toMatchObject({ PATH: process.env.PATH });
  expect(ofShells()).not.toHaveProperty("KEY");
});
