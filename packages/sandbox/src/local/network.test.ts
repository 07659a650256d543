import { describe, expect, test } from "vitest";
import { findNoWall } from "./isolation.ts";
import { chooseNetwork, findNoNetwork } from "./network.ts";

const missing = await findNoNetwork();
const canHaveOne = missing === undefined && (await findNoWall()) === undefined;

test("sandboxes without a wall share the machine's network, without a further word", async () => {
  expect(await chooseNetwork("none", (line) => expect.fail(line))).toBe("shared");
});

test.runIf(canHaveOne)("where slirp4netns works, sandboxes have a network of their own", async () => {
  expect(await chooseNetwork("bwrap", (line) => expect.fail(line))).toBe("own");
});

describe.runIf(missing !== undefined)("where slirp4netns does not work", () => {
  test("one loud line says so and how to get it", async () => {
    const lines: string[] = [];
    expect(await chooseNetwork("bwrap", (line) => lines.push(line))).toBe("shared");
    expect(lines.join()).toContain("SANDBOXES SHARE THIS MACHINE'S NETWORK");
    expect(lines.join()).toContain(missing?.remedy);
  });
});
