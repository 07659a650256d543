import fc from "fast-check";

/** Characters on either side of every border of the two grammars, and some from far away. */
const EDGE_CHARACTERS = [..."09afgAF-_,;= \t\n\r\0\x7f~!@*/:`{zZ.+", "\u00a0", "é", "\u{1f600}", "\ud800"];

/** Half the texts as they are, half with up to three single-character edits anywhere. */
function mutated(texts: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const edit = fc.tuple(
    fc.constantFrom("insert", "replace", "remove", "double", "upper"),
    fc.nat({ max: 1_000_000 }),
    fc.constantFrom(...EDGE_CHARACTERS),
  );
  const edits = fc.oneof(fc.constant([]), fc.array(edit, { minLength: 1, maxLength: 3 }));
  return fc.tuple(texts, edits).map(([text, list]) => list.reduce(applyEdit, text));
}

function applyEdit(text: string, [kind, place, char]: [kind: string, place: number, char: string]): string {
  const at = place % (text.length + 1);
  const [before, here, after] = [text.slice(0, at), text.slice(at, at + 1), text.slice(at + 1)];
  if (kind === "insert") return before + char + here + after;
  if (kind === "replace") return before + char + after;
  if (kind === "remove") return before + after;
  return before + (kind === "double" ? here + here : here.toUpperCase()) + after;
}

function hex(digits: number): fc.Arbitrary<string> {
  const max = 16n ** BigInt(digits) - 1n;
  return fc.bigInt({ min: 0n, max }).map((value) => value.toString(16).padStart(digits, "0"));
}

/** Mostly the right number of digits, sometimes one off, sometimes zeros. */
function hexField(digits: number): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 20, arbitrary: hex(digits) },
    { weight: 1, arbitrary: fc.constantFrom("0".repeat(digits), "f".repeat(digits)) },
    { weight: 1, arbitrary: fc.constantFrom(digits - 1, digits + 1).chain(hex) },
  );
}

const traceparentParts = fc.tuple(
  fc.oneof({ weight: 3, arbitrary: fc.constant("00") }, fc.constantFrom("01", "cc", "fe", "ff", "0", "000"), hex(2)),
  hexField(32),
  hexField(16),
  hexField(2),
);

/** Random ids and flags as a valid context has them. */
export const contexts = fc
  .tuple(hex(32), hex(16), fc.nat({ max: 3 }))
  .filter(([traceId, spanId]) => /[^0]/.test(traceId) && /[^0]/.test(spanId))
  .map(([traceId, spanId, traceFlags]) => ({ traceId, spanId, traceFlags, traceState: "", isRemote: true }));

/** `traceparent` fields: valid, almost valid, and nothing of the kind. */
export const traceparents = fc.oneof(
  {
    weight: 8,
    arbitrary: mutated(
      fc
        .tuple(
          traceparentParts,
          fc.oneof({ weight: 2, arbitrary: fc.constant("") }, fc.constantFrom("-", "-x", ".x", "-x-y")),
        )
        .map(([parts, suffix]) => parts.join("-") + suffix),
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...EDGE_CHARACTERS), maxLength: 60 }) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
);

function filled(char: string, min: number, max: number): fc.Arbitrary<string> {
  return fc.integer({ min, max }).map((length) => char.repeat(length));
}

/** Few enough that they repeat; some around the lengths where limits are. */
const keys = fc.oneof(
  { weight: 60, arbitrary: fc.nat({ max: 1500 }).map((value) => value.toString(36)) },
  {
    weight: 8,
    arbitrary: fc.string({ unit: fc.constantFrom(..."az09_-*/@"), maxLength: 3 }).map((rest) => `k${rest}`),
  },
  { weight: 2, arbitrary: filled("k", 120, 130) },
  { weight: 1, arbitrary: filled("k", 255, 257) },
);

const values = fc.oneof(
  { weight: 60, arbitrary: fc.nat().map(String) },
  {
    weight: 8,
    arbitrary: fc.string({ unit: fc.constantFrom(..."aZ09 !+-<>~@:;"), maxLength: 6 }).map((text) => `${text}v`),
  },
  { weight: 2, arbitrary: filled("v", 120, 130) },
  { weight: 1, arbitrary: filled("v", 255, 257) },
);

/** Keys and values to be set, valid more often than not. */
export const entries = fc.tuple(mutated(keys), mutated(values));

const separators = fc.oneof({ weight: 8, arbitrary: fc.constant(",") }, fc.constantFrom(", ", " \t,", ",,", ", ,"));

function lists(minLength: number, maxLength: number): fc.Arbitrary<string> {
  return fc
    .array(fc.tuple(keys, values, separators), { minLength, maxLength, size: "max" })
    .map((members) => members.map(([key, value, separator]) => `${key}=${value}${separator}`).join(""));
}

/** `tracestate` fields: valid, almost valid, and nothing of the kind. */
export const tracestates = fc.oneof(
  { weight: 5, arbitrary: mutated(lists(0, 5)) },
  { weight: 2, arbitrary: mutated(lists(6, 20)) },
  { weight: 2, arbitrary: mutated(lists(30, 34)) },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...EDGE_CHARACTERS), maxLength: 60 }) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 60 }) },
);
