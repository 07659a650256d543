/** The page's addresses, headers and policy: over the platform's assets (test/page), and over files that the test chooses. */
import { createExecutionContext } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { ORIGIN } from "../../test/api.ts";
import { bindings } from "../../test/bindings.ts";
import { createApp } from "./app.ts";

const asked: string[] = [];
const ASSETS = {
  fetch: (request: Request) => {
    asked.push(new URL(request.url).pathname);
    return bindings.ASSETS?.fetch(request);
  },
} as unknown as Fetcher;

const get = (path: string, { method = "GET", files = [ASSETS] as readonly Fetcher[] } = {}) =>
  createApp().fetch(
    new Request(ORIGIN + path, { method }),
    { ...bindings, ASSETS: files[0] } as typeof bindings,
    createExecutionContext(),
  );

describe("the page", () => {
  test.each([
    "/",
    "/sign-in",
    "/turns",
    "/sessions/ses_0",
    "/sessions/ses_0/traces/ab/",
    "/index.html",
    "/nothing/like/it",
  ])("is at %s", async (path) => {
    const response = await get(path);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(await response.text()).toContain('<div id="root">');
  });

  test("has a nonce of its own each time, which its policy allows, and is never stored", async () => {
    const nonces = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const response = await get("/");
      const text = await response.text();
      const found = [...text.matchAll(/<meta name="csp-nonce" content="([^"]*)">/g)].map(([, nonce = ""]) => nonce);
      expect(found).toHaveLength(1);
      const [nonce = ""] = found;
      expect(atob(nonce)).toHaveLength(16);
      nonces.add(nonce);
      expect(Object.fromEntries(response.headers)).toEqual({
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "content-security-policy": [
          "default-src 'none'",
          "script-src 'self'",
          `style-src 'self' 'nonce-${nonce}'`,
          "connect-src 'self'",
          "img-src 'self' data: blob:",
          "font-src 'self'",
          "base-uri 'none'",
          "form-action 'none'",
          "frame-ancestors 'none'",
          "require-trusted-types-for 'script'",
          "trusted-types 'none'",
        ].join("; "),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
      });
    }
    expect(nonces.size).toBe(3);
  });

  test("has files: those with a hash are cached for good, others for a minute", async () => {
    const script = await get("/assets/main-1a2b.js");
    expect(await script.text()).toBe("export {};\n");
    expect(Object.fromEntries(script.headers)).toMatchObject({
      "content-type": expect.stringContaining("text/javascript"),
      "cache-control": "public, max-age=31536000, immutable",
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin",
    });
    const icon = await get("/icon.svg");
    expect(icon.headers.get("cache-control")).toBe("public, max-age=60");
    expect(icon.headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
  });

  test.each(["/assets/gone-9.js", "/assets", "/assets/", "/gone.svg", "/api", "/api/", "/runner", "/runner/a/b"])(
    "is not at %s",
    async (path) => {
      const response = await get(path);
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(response.status).toBeOneOf([401, 404]);
    },
  );

  test.each(["/../secret", "/assets/..%2f..%2fsecret", "/assets/%2e%2e/%2e%2e/secret", "//evil.example/x.js"])(
    "asks for no file elsewhere: %s",
    async (path) => {
      asked.length = 0;
      await (await get(path)).text();
      for (const each of asked) expect(each).toMatch(/^\/(?:index\.html|assets\/[\w.-]+|[\w-]+\.\w+)$/);
    },
  );

  test("answers HEAD, and changes of no address of its", async () => {
    expect((await get("/turns", { method: "HEAD" })).status).toBe(200);
    expect((await get("/turns", { method: "POST" })).status).toBe(404);
  });

  test("is absent where the Worker has no files", async () => {
    const response = await get("/", { files: [] });
    expect(await response.json()).toMatchObject({ status: 404, type: "urn:valet:problem:not-found" });
  });

  test("says why it could not be built", async () => {
    const failing = { fetch: async () => new Response("Vite is missing.", { status: 503 }) } as unknown as Fetcher;
    const response = await get("/", { files: [failing] });
    expect([response.status, await response.text()]).toEqual([503, "Vite is missing."]);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  });
});

test("what the API answers is in no cache, and embedded by nobody", async () => {
  for (const path of ["/api/health", "/api/sessions", "/api/nothing"]) {
    expect(Object.fromEntries((await get(path)).headers)).toMatchObject({
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "cross-origin-resource-policy": "same-origin",
    });
  }
});
