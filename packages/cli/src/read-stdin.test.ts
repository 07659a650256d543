import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { readStdin } from "./read-stdin.ts";

const read = (...chunks: (string | Uint8Array)[]) => readStdin("the message", () => {}, Readable.from(chunks));

test("the text is what was written, without the last line feed", async () => {
  expect(await read("first\n", "second\n")).toBe("first\nsecond");
  expect(await read("no line feed")).toBe("no line feed");
  // A character whose bytes come in two pieces.
  const [euro] = [Buffer.from("€")];
  expect(await read(euro.subarray(0, 1), euro.subarray(1))).toBe("€");
});

test.each([
  ["empty input", [""], "Standard input is empty: the message was expected there."],
  ["input of spaces only", [" \n\n"], "Standard input is empty"],
  ["input that is not UTF-8", [Uint8Array.of(0xff, 0xfe)], "Standard input is not UTF-8 text."],
  ["input above the limit", ["x".repeat(700_000), "x".repeat(700_000)], "Standard input has more than 1048576 bytes"],
])("refuses %s", async (_, chunks, message) => {
  await expect(read(...chunks)).rejects.toThrow(message);
});

test("prints a prompt if standard input is a terminal, and none otherwise", async () => {
  const told: string[] = [];
  const input = (isTTY: boolean) => Object.assign(Readable.from(["hello\n"]), { isTTY });
  await readStdin("the message", (line) => told.push(line), input(false));
  expect(told).toEqual([]);
  await readStdin("the message", (line) => told.push(line), input(true));
  expect(told).toEqual(["Type the message; end it with Ctrl-D on a line of its own."]);
});
