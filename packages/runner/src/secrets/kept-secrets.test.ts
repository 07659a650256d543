import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/folder.ts";
import { KeptSecrets } from "./kept-secrets.ts";

const MODELS = { model: "valet/test", providerKeys: { OPENAI_API_KEY: "canary" } };
const REPO = { repoUrl: "https://git.example/a.git", credentials: { username: "u", password: "canary" } };

function setUp(folder = temporaryFolder()) {
  const of = (more: Partial<ConstructorParameters<typeof KeptSecrets>[0]> = {}) =>
    new KeptSecrets({ folder, token: "token", sessionId: "ses_1", generation: 1, ...more });
  return { of, path: join(folder, "secrets") };
}

test("only a successor with the same token can read the kept secrets; the file contains no plain text", () => {
  const { of, path } = setUp();
  of().keep(MODELS, REPO);
  expect(of().read()).toEqual({ modelAccess: MODELS, ...REPO });
  for (const other of [{ token: "another" }, { sessionId: "ses_2" }, { generation: 2 }]) {
    expect(of(other).read()).toBeUndefined();
  }
  expect(readFileSync(path, "latin1")).not.toContain("canary");
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("a missing or invalid file reads as nothing", () => {
  const { of, path } = setUp();
  expect(of().read()).toBeUndefined();
  for (const nonsense of ["", "x", "x".repeat(500)]) {
    writeFileSync(path, nonsense);
    expect(of().read()).toBeUndefined();
  }
  of().forget();
  of().forget();
  expect(of().read()).toBeUndefined();
});
