import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readSecrets, writeSecrets } from "./state.ts";
import { openStateDirectory } from "./state-directory.ts";

function setUp() {
  const folder = mkdtempSync(join(tmpdir(), "valet-state-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return { state: openStateDirectory(folder), file: join(folder, "secrets.json") };
}

test("the key that seals credentials is created once, readable by its owner only", () => {
  const { state, file } = setUp();
  const first = readSecrets(state);
  expect(first.credentialKeys.map((key) => Buffer.from(key, "base64").length)).toEqual([32]);
  writeSecrets(state, { ...first, token: "vlt_1" });
  expect(readSecrets(state)).toEqual({ ...first, token: "vlt_1" });
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a person who removes the broker's secret gets another one, and nothing else changes", () => {
  const { state, file } = setUp();
  const { brokerSecret, ...others } = readSecrets(state);
  writeFileSync(file, JSON.stringify({ ...others, token: "vlt_1" }));
  const secrets = readSecrets(state);
  expect(secrets).toEqual({ ...others, token: "vlt_1", brokerSecret: expect.stringMatching(/^[0-9a-f]{48}$/) });
  expect(secrets.brokerSecret).not.toBe(brokerSecret);
  expect(readSecrets(state)).toEqual(secrets);
});

test.each(['{"token": "vlt_1",', "[]", '{"credentialKeys": "one"}', ""])(
  "a damaged file (%j) is refused and stays as it is",
  (text) => {
    const { state, file } = setUp();
    writeFileSync(file, text);
    expect(() => readSecrets(state)).toThrow(`${file} is damaged or cannot be read. Mend it`);
    expect(readFileSync(file, "utf8")).toBe(text);
  },
);

test("an older state without a key gets one and keeps its other secrets", () => {
  const { state, file } = setUp();
  writeFileSync(file, JSON.stringify({ token: "vlt_1", brokerSecret: "s" }));
  const secrets = readSecrets(state);
  expect(secrets).toMatchObject({ token: "vlt_1", brokerSecret: "s", credentialKeys: [expect.any(String)] });
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(secrets);
});
