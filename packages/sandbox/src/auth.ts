import { createHash, timingSafeEqual } from "node:crypto";

/**
 * Returns a function that checks the `Authorization` header, in constant time so that the time reveals nothing about
 * the secret.
 */
export function bearerCheck(secret: string): (authorization: string | undefined) => boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = digest(secret);
  return (authorization) => {
    const token = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
    return token !== undefined && timingSafeEqual(digest(token), expected);
  };
}
