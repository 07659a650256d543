import { describe, expect, test } from "vitest";
import { CALLER, TestSession } from "../../../test/session.ts";
import { refuseModels } from "./known-models.ts";

const session = { model: "valet/big", models: ["valet/small", "anthropic/claude"] };

test.each([
  ["none", {}],
  ["the session's own", { model: "valet/big", models: ["valet/small"] }],
  ["the deployment's", { model: "valet/default" }],
  ["the session's own by its name alone", { model: "big", models: ["small"] }],
  ["another provider's, which the agent knows by itself", { model: "openai/gpt", models: ["mistral/x"] }],
])("a message may ask for %s", (_what, message) => {
  expect(refuseModels(message, session, "valet/default")).toBeUndefined();
});

test.each([
  ["model", { model: "valet/other" }],
  ["model", { model: "other" }],
  ["models", { models: ["valet/big", "valet/other"] }],
])(
  "one that the endpoint may have and the session was not made with is refused, by its field: %s",
  (field, message) => {
    const why = refuseModels(message, session, "valet/default");
    expect(why).toBe(
      `${field}: the session was not made with this model. It knows valet/big, valet/small, valet/default. Make a session with the model in \`model\` or \`models\`.`,
    );
  },
);

test("the agent is told of every model of the endpoint that the session was made with, by its name alone, too", async () => {
  const session = new TestSession();
  await session.create({ model: "big", models: ["valet/small", "anthropic/claude"] });
  const config = await (await (await session.connect()).hello()).next("config");
  expect(config.modelAccess.openAiCompatible?.models).toEqual(["valet/big", "valet/small"]);
});

describe("a message for a model that the session does not know", () => {
  test("is refused and leaves no trace; with the id of one that was taken it is that one", async () => {
    const { session, runner } = await TestSession.running({ model: "valet/big" });
    const refused = await session.stub.sendMessage({ content: "x", model: "valet/other" }, CALLER);
    expect(refused).toMatchObject({ ok: false, problem: { status: 422, type: "urn:valet:problem:model-not-known" } });
    expect(await session.spans("valet.prompt")).toEqual([]);
    const id = await session.send("x", { id: "msg_1", model: "valet/big" });
    expect(await runner.accept()).toMatchObject({ model: "valet/big" });
    expect(await session.send("x", { id, model: "valet/big" })).toBe(id);
    const other = await session.stub.sendMessage({ content: "x", id, model: "valet/other" }, CALLER);
    expect(other).toMatchObject({ ok: false, problem: { status: 409, type: "urn:valet:problem:id-taken" } });
  });
});
