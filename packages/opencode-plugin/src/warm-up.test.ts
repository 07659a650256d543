import { WARM_UP_MARK } from "@valet/shared/protocol/child-sessions";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { answerWarmUps } from "./warm-up.ts";

const PROVIDER = "https://provider.example/v1/chat/completions";
const plain = globalThis.fetch;
const network = vi.fn(async () => new Response("from the network"));

beforeEach(() => {
  network.mockClear();
  globalThis.fetch = network;
  onTestFinished(() => {
    globalThis.fetch = plain;
  });
});

const modelOf = (npm: string) => ({ api: { npm } });

test("a warm-up's model call is answered in the process, and known by the end of its message's id alone", async () => {
  const warmUps = answerWarmUps();
  const message = { id: `msg_0123456789ab${WARM_UP_MARK}` };
  const others = [{}, { message: {} }, { message: { id: "msg_0123456789ab0123456789abcd" } }];
  expect([{ message }, ...others].map(warmUps.isWarmUp)).toEqual([true, false, false, false]);
  const output = { headers: { accept: "text/event-stream" } };
  await warmUps.mark({ message, model: modelOf("@ai-sdk/openai-compatible") }, output);
  const streamed = await fetch(PROVIDER, { method: "POST", headers: output.headers });
  expect([streamed.status, streamed.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  expect(await streamed.text()).toContain("Ready.");
  expect((await fetch(new Request(PROVIDER, { headers: output.headers }))).status).toBe(200);
  expect(network).not.toHaveBeenCalled();
});

test("a provider whose protocol is unknown refuses the call, so that it is not tried again", async () => {
  const warmUps = answerWarmUps();
  for (const model of [modelOf("another"), {}, undefined]) {
    const output = { headers: {} };
    await warmUps.mark({ ...(model && { model }) }, output);
    expect((await fetch(PROVIDER, output)).status).toBe(400);
  }
  expect(network).not.toHaveBeenCalled();
});

test("all other requests are passed on as they are", async () => {
  answerWarmUps();
  const init = { headers: { accept: "text/plain" } };
  expect(await (await fetch(PROVIDER, init)).text()).toBe("from the network");
  expect(network.mock.calls).toEqual([[PROVIDER, init]]);
});

test("the call fails before it is sent where something else has replaced fetch", async () => {
  const warmUps = answerWarmUps();
  globalThis.fetch = plain;
  const output = { headers: {} };
  await expect(warmUps.mark({}, output)).rejects.toThrow();
  expect(output.headers).toEqual({});
});
