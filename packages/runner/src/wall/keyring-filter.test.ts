import { expect, test } from "vitest";
import { keyringFilter } from "./keyring-filter.ts";

/** Runs the filter as the kernel does, with the four instructions that it has. */
function verdict(architecture: number, call: number): number {
  const filter = keyringFilter();
  let accumulator = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const [code, operand] = [filter.readUInt16LE(at), filter.readUInt32LE(at + 4)];
    if (code === 0x06) return operand;
    if (code === 0x20) accumulator = operand === 0 ? call : architecture;
    if (code === 0x54) accumulator = (accumulator & operand) >>> 0;
    if (code === 0x15) at += 8 * filter.readUInt8(at + (accumulator === operand ? 2 : 3));
  }
  throw new Error("the filter has no end");
}

const ALLOWED = 0x7fff0000;
const NOT_IMPLEMENTED = 0x00050026;

test.each([
  ["x86-64", 0xc000003e, [248, 249, 250]],
  ["x32", 0xc000003e, [248, 249, 250].map((each) => 0x40000000 + each)],
  ["i386", 0x40000003, [286, 287, 288]],
  ["AArch64", 0xc00000b7, [217, 218, 219]],
  ["32-bit ARM", 0x40000028, [309, 310, 311]],
])("of the calls of %s those for keyrings fail, and no others", (_, architecture, calls) => {
  const [first = 0] = calls;
  for (const call of calls) expect(verdict(architecture, call)).toBe(NOT_IMPLEMENTED);
  for (const call of [0, first - 1, first + 3]) expect(verdict(architecture, call)).toBe(ALLOWED);
});

test("a processor that the filter does not know works without it", () => {
  expect(verdict(0xc00000f3, 219)).toBe(ALLOWED);
});
