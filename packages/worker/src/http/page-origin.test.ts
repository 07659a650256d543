/** Which requests count as the page's own. */
import { CSRF_HEADER } from "@valet/shared/protocol/page-sessions";
import { describe, expect, test } from "vitest";
import { isFromPage, isSameOrigin } from "./page-origin.ts";

const HERE = "http://127.0.0.1:8787";
const request = (method: string, headers: Record<string, string>) =>
  new Request(`${HERE}/api/sessions`, { method, headers });
const SENT = { [CSRF_HEADER]: "1" };

describe("the origin is that of the request", () => {
  test.each([
    [HERE, HERE, true],
    ["https://valet.example.com", "https://valet.example.com/x", true],
    // A proxy has ended TLS.
    ["https://valet.example.com", "http://valet.example.com/x", true],
    // Nobody may use the page of https from http.
    ["http://valet.example.com", "https://valet.example.com/x", false],
    ["http://127.0.0.1:3000", HERE, false],
    ["http://localhost:8787", HERE, false],
    ["https://valet.example.com.evil.example", "https://valet.example.com", false],
    ["null", HERE, false],
    ["", HERE, false],
    [undefined, HERE, false],
  ])("%s at %s: %s", (origin, url, expected) => {
    expect(isSameOrigin(origin, new URL(url))).toBe(expected);
  });
});

describe("a change needs the header, and no sign of another origin", () => {
  test.each<[string, Record<string, string>, boolean]>([
    ["a page of ours", { ...SENT, origin: HERE, "sec-fetch-site": "same-origin" }, true],
    ["an old browser", { ...SENT, origin: HERE }, true],
    ["no header", { origin: HERE, "sec-fetch-site": "same-origin" }, false],
    ["another port of this host", { ...SENT, origin: "http://127.0.0.1:3000", "sec-fetch-site": "same-site" }, false],
    ["another site", { ...SENT, origin: "https://evil.example", "sec-fetch-site": "cross-site" }, false],
    ["a sandboxed frame", { ...SENT, origin: "null" }, false],
    ["the address bar", { ...SENT, "sec-fetch-site": "none" }, false],
  ])("%s", (_what, headers, expected) => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      expect(isFromPage(request(method, headers))).toBe(expected);
    }
  });
});

describe("reading needs no header", () => {
  test.each<[string, Record<string, string>, boolean]>([
    ["a page of ours", { "sec-fetch-site": "same-origin" }, true],
    ["the address bar", { "sec-fetch-site": "none" }, true],
    ["another port of this host", { "sec-fetch-site": "same-site" }, false],
    ["a page with another origin", { origin: "http://127.0.0.1:3000" }, false],
  ])("%s", (_what, headers, expected) => {
    expect(isFromPage(request("GET", headers))).toBe(expected);
  });
});

test("a WebSocket needs the origin", () => {
  const upgrade = { upgrade: "websocket" };
  expect(isFromPage(request("GET", { ...upgrade, origin: HERE }))).toBe(true);
  expect(isFromPage(request("GET", { ...upgrade, origin: HERE, "sec-fetch-site": "cross-site" }))).toBe(true);
  expect(isFromPage(request("GET", { ...upgrade, origin: "http://127.0.0.1:3000" }))).toBe(false);
  expect(isFromPage(request("GET", { ...upgrade, "sec-fetch-site": "same-origin" }))).toBe(false);
});
