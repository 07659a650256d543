import { createHash, timingSafeEqual } from "node:crypto";

/**
 * Returns a function that checks the `Authorization` header, in constant time so that the time reveals nothing about
 * the secrets.
 */
export function bearerCheck(secrets: readonly string[]): (authorization: string | undefined) => boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = secrets.map(digest);
  return (authorization) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return false;
    const given = digest(token);
    return expected.filter((each) => timingSafeEqual(given, each)).length > 0;
  };
}
