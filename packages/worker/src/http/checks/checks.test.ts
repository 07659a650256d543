import type { ModelAccess } from "@valet/shared/protocol/model-access";
import { describe, expect, test } from "vitest";
import { checkBroker } from "./check-broker.ts";
import { checkProvider } from "./check-provider.ts";

/** A host that gives these answers, and notes what it is asked. */
function hostThat(...answers: (Response | Error)[]) {
  const asked: Request[] = [];
  const send = async (url: string | URL | Request, init?: RequestInit) => {
    asked.push(new Request(url as string, init));
    const answer = answers[Math.min(asked.length, answers.length) - 1];
    if (answer instanceof Error) throw answer;
    return (answer as Response).clone() as Response;
  };
  return { send: send as typeof fetch, asked };
}

const OWN: ModelAccess = {
  model: "m",
  openAiCompatible: { baseUrl: "https://models.test/v1/", apiKey: "secret" },
  providerKeys: {},
};
const list = (...ids: string[]) => Response.json({ data: ids.map((id) => ({ id })) });
const status = (code: number) => new Response("x", { status: code });

describe("the model's provider", () => {
  test.each<[string, (Response | Error)[], object]>([
    ["has the model", [list("m", "n")], { state: "ok", status: 200 }],
    ["has more than it lists", [list("n"), Response.json({})], { state: "ok" }],
    ["does not have it", [list("n"), status(404)], { state: "model_unknown" }],
    ["has no list", [status(404)], { state: "model_unconfirmed", status: 404 }],
    ["answers a page", [new Response("<html>")], { state: "model_unconfirmed" }],
    ["refuses the key", [status(401)], { state: "key_refused", status: 401 }],
    ["fails", [status(500)], { state: "failing", status: 500 }],
    ["limits requests", [status(429)], { state: "failing", status: 429 }],
    [
      "redirects",
      [new Response(null, { status: 302, headers: { location: "https://x.test" } })],
      { state: "model_unconfirmed" },
    ],
    ["does not answer", [new TypeError("refused")], { state: "unreachable", status: null }],
  ])("%s", async (_, answers, expected) => {
    const { send, asked } = hostThat(...answers);
    expect(await checkProvider(OWN, send)).toMatchObject({ model: "valet/m", host: "models.test", ...expected });
    expect(asked[0]?.url).toBe("https://models.test/v1/models");
    expect(asked[0]?.headers.get("authorization")).toBe("Bearer secret");
    for (const { method } of asked) expect(method).toBe("GET");
  });

  test("of a known provider is asked for the model, with its own header for the key", async () => {
    const { send, asked } = hostThat(status(404));
    const access = { model: "anthropic/claude-x", providerKeys: { ANTHROPIC_API_KEY: "k" } };
    expect(await checkProvider(access, send)).toMatchObject({ state: "model_unknown", host: "api.anthropic.com" });
    expect(asked.map(({ url }) => url)).toEqual(["https://api.anthropic.com/v1/models/claude-x"]);
    expect(asked[0]?.headers.get("x-api-key")).toBe("k");
  });

  test("that has no free request, or no key, is not asked", async () => {
    const { send, asked } = hostThat(status(200));
    for (const model of ["amazon-bedrock/claude", "openai/gpt-x"]) {
      expect(await checkProvider({ model, providerKeys: {} }, send)).toEqual({
        model,
        host: null,
        state: "unchecked",
        status: null,
      });
    }
    expect(asked).toEqual([]);
  });
});

describe("the sandbox broker", () => {
  const health = { status: "ok", driver: "local", awake: 2, isDraining: false };
  test.each<[string, Response | Error, object]>([
    ["says how it is", Response.json(health), { state: "ok", driver: "local", awake: 2, isDraining: false }],
    [
      "of an earlier version does not say all",
      Response.json({ status: "ok", driver: "modal" }),
      { awake: null, isDraining: null },
    ],
    ["is another program", new Response("hello"), { state: "not_a_broker", driver: null }],
    ["is behind a proxy and away", status(502), { state: "unreachable" }],
    ["does not answer", new TypeError("refused"), { state: "unreachable", awake: null }],
  ])("%s", async (_, answer, expected) => {
    const { send, asked } = hostThat(answer);
    expect(await checkBroker("http://broker.test:99", send)).toMatchObject({ host: "broker.test:99", ...expected });
    expect(asked[0]?.url).toBe("http://broker.test:99/v1/health");
  });
});
