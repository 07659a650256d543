import { expect, test } from "vitest";
import { CREDENTIAL_KEY_BYTES } from "../../config.ts";
import { CannotOpenError, CredentialKeys } from "./credential-keys.ts";

const newKey = () => crypto.getRandomValues(new Uint8Array(CREDENTIAL_KEY_BYTES));
const CANARY = { username: "user", password: "canary" };

test("sealed credentials reveal nothing, differ each time, and open only for their session", async () => {
  const keys = new CredentialKeys([newKey()], "secret");
  const sealed = await keys.seal(CANARY, "ses_1");
  expect(JSON.stringify(sealed)).not.toContain("canary");
  expect(atob(sealed.sealed)).not.toContain("canary");
  expect((await keys.seal(CANARY, "ses_1")).sealed).not.toBe(sealed.sealed);
  expect(await keys.open(sealed, "ses_1")).toEqual(CANARY);
  await expect(keys.open(sealed, "ses_2")).rejects.toThrow(CannotOpenError);
});

test("one changed bit is detected", async () => {
  const keys = new CredentialKeys([newKey()], "secret");
  const { keyId, sealed } = await keys.seal(CANARY, "ses_1");
  const bytes = Buffer.from(sealed, "base64");
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
  await expect(keys.open({ keyId, sealed: bytes.toString("base64") }, "ses_1")).rejects.toThrow(CannotOpenError);
});

test("keys rotate: the newest seals, older ones open until they are removed", async () => {
  const [older, newer] = [newKey(), newKey()];
  const before = await new CredentialKeys([older], "secret").seal(CANARY, "ses_1");
  const both = new CredentialKeys([newer, older], "secret");
  expect(await both.open(before, "ses_1")).toEqual(CANARY);
  expect(await both.isCurrent(before)).toBe(false);
  const after = await both.seal(CANARY, "ses_1");
  expect(await both.isCurrent(after)).toBe(true);
  const alone = new CredentialKeys([newer], "secret");
  expect(await alone.open(after, "ses_1")).toEqual(CANARY);
  await expect(alone.open(before, "ses_1")).rejects.toThrow(CannotOpenError);
});

test("without keys the fallback secret seals, and it still opens once there are keys", async () => {
  const sealed = await new CredentialKeys([], "secret").seal(CANARY, "ses_1");
  expect(await new CredentialKeys([newKey()], "secret").open(sealed, "ses_1")).toEqual(CANARY);
  await expect(new CredentialKeys([], "another").open(sealed, "ses_1")).rejects.toThrow(CannotOpenError);
});
