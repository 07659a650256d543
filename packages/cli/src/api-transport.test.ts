/** What the client makes of answers that do not come from Valet, or not as a whole. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { ApiTransport } from "./api-transport.ts";

/** Starts a server. @returns a client of it, and the requests that it got */
async function setUp(answer: RequestListener) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, requests, transport: new ApiTransport({ url, token: "vlt_x" }) };
}

const Answer = z.object({ ok: z.boolean() });

test.each([301, 302, 307, 308])("does not follow a redirect with %i, and says where it leads", async (status) => {
  const { url, requests, transport } = await setUp((request, response) => {
    const isFollowed = request.url === "/elsewhere";
    response.writeHead(isFollowed ? 200 : status, { location: "/elsewhere", "content-type": "application/json" });
    response.end('{"ok":true}');
  });
  await expect(transport.call("POST", "/api/sessions", Answer, {})).rejects.toThrow(
    `${url} redirects to /elsewhere, and redirects are not followed. Something in front of Valet answers`,
  );
  expect(requests).toEqual(["POST /api/sessions"]);
});

test("says that a redirect leads to another origin, which would get no token", async () => {
  const { transport } = await setUp((_, response) => {
    response.writeHead(301, { location: "https://valet.example.com/api/sessions?secret" });
    response.end();
  });
  await expect(transport.call("GET", "/api/sessions", Answer)).rejects.toThrow(
    /redirects to https:\/\/valet\.example\.com, and .* set VALET_URL to it, or give --url\.$/,
  );
});

test("an answer that breaks off counts as none, and not as one of another server", async () => {
  const { url, transport } = await setUp((_, response) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": 100 });
    response.write('{"ok":', () => response.destroy());
  });
  await expect(transport.call("GET", "/api/sessions", Answer)).rejects.toMatchObject({
    type: "no-answer",
    message: expect.stringContaining(`${url} broke off in the middle of its answer.`),
  });
});

test.each(["<html>login</html>", "", "null"])("an answer %j is not from Valet", async (text) => {
  const { transport } = await setUp((_, response) => void response.end(text));
  await expect(transport.call("GET", "/api/sessions", Answer)).rejects.toThrow("not from Valet. Check the URL.");
});

test.each([
  ["60", "The API answered 429. Try again in 60 s."],
  ["Wed, 21 Oct 2026 07:28:00 GMT", "The API answered 429."],
  ["-1", "The API answered 429."],
])(
  "the message of a refusal with `Retry-After: %s` says when to try again, if that is a number of seconds",
  async (retryAfter, message) => {
    const { transport } = await setUp((_, response) => {
      response.writeHead(429, { "retry-after": retryAfter });
      response.end();
    });
    await expect(transport.call("GET", "/api/sessions", Answer)).rejects.toMatchObject({ message });
  },
);
