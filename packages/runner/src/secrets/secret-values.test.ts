import fc from "fast-check";
import { expect, test } from "vitest";
import { REDACTED, SecretValues } from "./secret-values.ts";

const KEY = 'sk-live/"Äpfel" +\\42';

function secretsOf(...values: string[]): SecretValues {
  const secrets = new SecretValues();
  secrets.add(...values);
  return secrets;
}

const inJson = (text: string) => JSON.stringify(text).slice(1, -1);
const base64 = (text: string) => Buffer.from(text).toString("base64");

test.each<[string, string]>([
  ["as plain text", KEY],
  ["in JSON", inJson(KEY)],
  ["in JSON within JSON", inJson(inJson(KEY))],
  ["in ASCII-only JSON", inJson(KEY).replace("Ä", "\\u00c4")],
  ["in a URL", encodeURIComponent(KEY)],
  [
    "in a URL with lowercase hex digits",
    encodeURIComponent(KEY).replace(/%[0-9A-F]{2}/g, (each) => each.toLowerCase()),
  ],
  ["in a form", new URLSearchParams({ k: KEY }).toString().slice(2)],
  ["in a URL within a URL", encodeURIComponent(encodeURIComponent(KEY))],
  ["in bytes of UTF-8 that were read one by one", Buffer.from(KEY).toString("latin1")],
  [
    "in a name that git has quoted",
    Buffer.from(KEY)
      .toString("latin1")
      .replace(/["\\]/g, "\\$&")
      .replace(/[\x80-\xff]/g, (byte) => `\\${byte.charCodeAt(0).toString(8)}`),
  ],
  ["with each character encoded", Array.from(Buffer.from(KEY), (byte) => `%${byte.toString(16)}`).join("")],
])("a value %s is redacted", (_, written) => {
  expect(secretsOf(KEY).redact(`before ${written} after`)).toBe(`before ${REDACTED} after`);
});

test("base64 reveals nothing of a value, at any position in the encoded text", () => {
  const secrets = secretsOf("a-secret-of-the-runner");
  for (const before of ["", "u", "us", "user:"]) {
    for (const encoding of ["base64", "base64url"] as const) {
      const encoded = Buffer.from(`${before}a-secret-of-the-runner, and more`).toString(encoding);
      const clean = secrets.redact(`Basic ${encoded}`);
      expect(clean).toContain(REDACTED);
      const shown = Buffer.from(clean.replace(/^Basic /, ""), encoding).toString("latin1");
      expect(shown).not.toMatch(/a-secret|secret-of|the-runner/);
    }
  }
  const long = secretsOf("x".repeat(100));
  const lines = base64("x".repeat(100)).replace(/(.{76})/g, "$1\n");
  expect(long.redact(lines)).not.toContain(base64("x".repeat(30)));
  expect(long.redact(JSON.stringify(lines))).not.toContain(base64("x".repeat(30)));
});

test("short values and text that only resembles a value stay", () => {
  expect(secretsOf("short", "1234567").redact("short 1234567")).toBe("short 1234567");
  expect(secretsOf("12345678").redact("1234567 12345678 123456789")).toBe(`1234567 ${REDACTED} ${REDACTED}9`);
  expect(secretsOf().redact("anything")).toBe("anything");
});

test("of two values with the same beginning the longer one is redacted", () => {
  const secrets = secretsOf("abcdefgh", "abcdefghijkl");
  expect(secrets.redact("abcdefghijkl abcdefghijk")).toBe(`${REDACTED} ${REDACTED}ijk`);
  const stream = secrets.stream();
  expect([stream.push("abcdefgh"), stream.push("ijkl"), stream.push(" end"), stream.end()].join("|")).toBe(
    `|${REDACTED}| end|`,
  );
});

test("all strings of a JSON value are redacted, including keys", () => {
  const secrets = secretsOf("a-long-secret");
  expect(secrets.redactAll({ a: ["x a-long-secret", 1, null], "a-long-secret": { b: "a-long-secret" } })).toEqual({
    a: [`x ${REDACTED}`, 1, null],
    [REDACTED]: { b: REDACTED },
  });
});

/** Few different characters, so texts often contain the beginning of a secret. */
const secret = fc.string({ unit: fc.constantFrom("a", "b", "%", "\\", "6", "1"), minLength: 8, maxLength: 12 });
const piece = (secrets: readonly string[]) =>
  fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "b", "%", "\\", "6", "1", "n"), maxLength: 10 }),
    fc.constantFrom(...secrets),
    fc.constantFrom(...secrets.flatMap((each) => [encodeURIComponent(each), inJson(each), base64(`x${each}y`)])),
  );
const scene = fc
  .array(secret, { minLength: 1, maxLength: 3 })
  .chain((secrets) => fc.tuple(fc.constant(secrets), fc.array(piece(secrets), { maxLength: 12 })));

test("a text in pieces is redacted like the whole text, however it is split", () => {
  fc.assert(
    fc.property(scene, fc.array(fc.nat(), { maxLength: 20 }), ([values, pieces], cuts) => {
      const secrets = secretsOf(...values);
      const text = pieces.join("");
      const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
      const stream = secrets.stream();
      let from = 0;
      let given = "";
      for (const place of [...places, text.length]) {
        given += stream.push(text.slice(from, place));
        from = place;
        // The output so far must not contain a secret at any time.
        for (const value of values) expect(given).not.toContain(value);
      }
      expect(given + stream.end()).toBe(secrets.redact(text));
    }),
    { numRuns: 500 },
  );
});

test("the redacted text contains no value, plain or encoded", () => {
  fc.assert(
    fc.property(scene, ([values, pieces]) => {
      const clean = secretsOf(...values).redact(pieces.join(" "));
      for (const value of values) {
        for (const form of [value, encodeURIComponent(value), inJson(value)]) expect(clean).not.toContain(form);
      }
    }),
    { numRuns: 500 },
  );
});

test("a text without secrets stays unchanged", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      expect(secretsOf("a-secret-that-is-nowhere").redact(text)).toBe(text);
    }),
  );
});

test("a long text is redacted in a short time", () => {
  const secrets = secretsOf("aaaaaaaaaaaaaaab", "%%%%%%%%%%%%%%%%", "\\\\\\\\\\\\\\\\\\\\\\\\\\\\");
  for (const text of ["a", "%25", "\\\\"].map((each) => each.repeat(30_000))) {
    const startMs = performance.now();
    secrets.redact(text);
    expect(performance.now() - startMs).toBeLessThan(5_000);
  }
});
