import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  EGRESS_TARGET,
  EGRESS_URLS,
  type EgressPurpose,
  MAX_GIT_ANSWER_BYTES,
} from "@valet/shared/protocol/public-egress";
import { expect, onTestFinished, test } from "vitest";
import { createEgress, type EgressOptions } from "./public-egress.ts";

/** Listens on one loopback address. @returns the port, and the paths that were asked for */
async function listen(host: string, port = 0, status = 200, location?: string) {
  const seen: { readonly method: string; readonly url: string; readonly headers: object; readonly body: string }[] = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const { method = "" } = request;
    seen.push({ method, url: request.url ?? "", headers: request.headers, body });
    response.writeHead(status, location === undefined ? {} : { location }).end("x".repeat(100_000));
  });
  let connections = 0;
  server.on("connection", () => connections++);
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  onTestFinished(() => new Promise((resolve) => server.close(() => resolve())));
  return { seen, connections: () => connections, port: (server.address() as AddressInfo).port };
}

const ask = (target: string, options: EgressOptions, purpose: EgressPurpose = "webhook", method = "POST") => {
  const headers = new Headers({
    [EGRESS_TARGET]: target,
    "webhook-id": "evt_1",
    "content-type": "application/json",
    "git-protocol": "version=2",
    authorization: "Basic x",
    "mf-internal": "x",
  });
  return createEgress(options)(
    new Request(EGRESS_URLS[purpose], { method, headers, ...(method !== "GET" && { body: "{}" }) }),
  );
};
/** Nothing is read of a webhook's answer. */
const answered = (status: number) => ({ status, contentType: null, text: "" });

test("posts to a loopback receiver where that is allowed, with the headers of the webhook only", async () => {
  const { seen, port } = await listen("127.0.0.1");
  expect(await ask(`http://127.0.0.1:${port}/hook?a=1`, { allowsPrivate: true })).toEqual(answered(200));
  expect(seen).toMatchObject([{ url: "/hook?a=1", body: "{}", headers: { "webhook-id": "evt_1" } }]);
  for (const name of ["mf-internal", "git-protocol", "authorization"])
    expect(seen[0]?.headers).not.toHaveProperty(name);
  expect(seen[0]?.headers).not.toHaveProperty(EGRESS_TARGET);
});

test("asks about a repository with git's headers only, and reads the beginning of the answer", async () => {
  const { seen, port } = await listen("127.0.0.1");
  const url = `http://127.0.0.1:${port}/info/refs`;
  const answer = { status: 200, contentType: null, text: "x".repeat(MAX_GIT_ANSWER_BYTES) };
  expect(await ask(url, { allowsPrivate: true }, "git", "GET")).toEqual(answer);
  expect(await ask(url, { allowsPrivate: true }, "git", "POST")).toEqual(answer);
  const headers = { "git-protocol": "version=2", authorization: "Basic x" };
  expect(seen).toMatchObject([
    { method: "GET", body: "", headers },
    { method: "POST", body: "{}", headers },
  ]);
  for (const name of ["mf-internal", "webhook-id"]) expect(seen[0]?.headers).not.toHaveProperty(name);
});

test.each(["https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "http://example.com/", "https://localhost/"])(
  "%s is refused again, whoever asks",
  async (url) => {
    expect(await ask(url, { allowsPrivate: false })).toMatchObject({ error: expect.stringContaining("refused") });
  },
);

/** Of the two loopback addresses the second stands for a public one. */
const isAllowed = (address: string) => address === "127.0.0.2";
const NAME = "hooks.example.com";

/** A resolver that gives another answer each time. */
function answers(...each: string[][]) {
  const names: string[] = [];
  const resolve = async (name: string) => {
    names.push(name);
    return (each[names.length - 1] ?? []).map((address) => ({ address, family: 4 }));
  };
  return { names, resolve };
}

test.each([
  ["webhook", "POST"],
  ["git", "GET"],
] as const)(
  "a name that is public first and private second never leads to the private address: %s",
  async (purpose, method) => {
    const open = await listen("127.0.0.2");
    const hidden = await listen("127.0.0.1", open.port);
    const { names, resolve } = answers(["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]);
    const send = () =>
      ask(`https://${NAME}:${open.port}/`, { allowsPrivate: false, resolve, isAllowed }, purpose, method);
    // The receiver speaks no TLS, so the connection is all that there is to see.
    expect(await send()).toEqual({ error: expect.stringMatching(/^no connection \(E(?:PROTO|RR_SSL\w+)\)$/) });
    expect(names).toEqual([NAME]);
    expect(await send()).toEqual({ error: "the name of its host leads to private addresses only" });
    expect(await send()).toEqual({ error: expect.stringMatching(/^no connection \(E/) });
    expect(names).toHaveLength(3);
    expect(open.connections()).toBe(2);
    expect(hidden.connections()).toBe(0);
  },
);

test.each([["10.0.0.1"], ["::1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["fd00::1"], []])(
  "a name for %s is not connected to",
  async (...addresses) => {
    const { resolve } = answers(addresses);
    expect(await ask(`https://${NAME}/`, { allowsPrivate: false, resolve })).toEqual({
      error: "the name of its host leads to private addresses only",
    });
  },
);

test("redirects are not followed, and a large answer is not read", async () => {
  const other = await listen("127.0.0.1");
  const { port } = await listen("127.0.0.1", 0, 302, `http://127.0.0.1:${other.port}/`);
  expect(await ask(`http://127.0.0.1:${port}/`, { allowsPrivate: true })).toEqual(answered(302));
  expect(other.seen).toEqual([]);
});

test("an endpoint that hangs, or that is away, is an error", async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const hung = await ask(`http://127.0.0.1:${port}/`, { allowsPrivate: true, timeoutMs: 100 });
  expect(hung).toEqual({ error: "no answer within 0.1 s" });
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  const away = await ask(`http://127.0.0.1:${port}/`, { allowsPrivate: true });
  expect(away).toEqual({ error: "no connection (ECONNREFUSED)" });
});
