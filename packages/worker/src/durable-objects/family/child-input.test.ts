import { expect, test } from "vitest";
import type { SessionRecord } from "../core/session-state.ts";
import { childInput } from "./child-input.ts";

const parent = {
  id: "ses_01arz3ndektsv4rrffq69g5fav",
  repoUrl: "https://git.example/a.git",
  models: [],
  idleTimeoutMs: 1000,
  branch: "main",
  trustRepositoryConfig: true,
} as unknown as SessionRecord;
const inputOf = (request: object) => childInput({ prompt: "Count.", ...request }, parent, false);

test("a child asks for what its parent asks for, whatever repository it works on", () => {
  const asking = { ...parent, askBefore: ["commands"] } as SessionRecord;
  for (const request of [{}, { repo: "https://git.example/b.git" }]) {
    const input = childInput({ prompt: "Count.", ...request }, asking, false);
    expect(input).toMatchObject({ ok: true, input: { askBefore: ["commands"] } });
  }
  expect(inputOf({})).not.toHaveProperty("input.askBefore");
});

test("a child trusts the repository's configuration only if its parent does and the agent names no other repository or branch", () => {
  expect(inputOf({})).toMatchObject({ ok: true, input: { trustRepositoryConfig: true } });
  expect(inputOf({ branch: "other" })).not.toHaveProperty("input.trustRepositoryConfig");
  expect(inputOf({ repo: "https://git.example/b.git" })).not.toHaveProperty("input.trustRepositoryConfig");
});
