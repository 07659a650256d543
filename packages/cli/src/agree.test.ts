/** Commands that ask, where there is nobody to answer. What a person answers needs a terminal, and is not tested here. */
import type { Command } from "commander";
import { expect, test, vi } from "vitest";
import { ASKING_CODES, agree } from "./agree.ts";
import { createProgram } from "./program.ts";
import { runProgram } from "./run-program.ts";

const ASKED = { loss: "Its files will be lost.", question: "Delete it?", refused: "Nothing was deleted." };

/** Returns the words of each command that has `--yes`. */
function asking(command: Command, words: readonly string[] = []): string[][] {
  const asks = command.options.some(({ long }) => long === "--yes");
  return [...(asks ? [[...words]] : []), ...command.commands.flatMap((each) => asking(each, [...words, each.name()]))];
}

test("without a terminal, the exit code is that of usage, unless --yes was given: then nobody is asked", async () => {
  await expect(agree({ ...ASKED, yes: undefined })).rejects.toMatchObject({
    message: "Its files will be lost. Say so with --yes.",
    exitCode: 2,
  });
  expect(await agree({ ...ASKED, yes: true })).toBe(true);
});

test("the help of every command that asks says the same of its exit codes", async () => {
  const commands = asking(createProgram());
  expect(commands).toEqual(expect.arrayContaining([["terminate"], ["delete"], ["token", "revoke"]]));
  for (const words of commands) {
    let help = "";
    const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
      help += text;
      return true;
    });
    await runProgram([...words, "--help"]);
    spy.mockRestore();
    expect(help).toContain(ASKING_CODES);
  }
});
