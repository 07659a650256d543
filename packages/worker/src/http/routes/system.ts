import { createRoute } from "@hono/zod-openapi";
import { SystemView } from "@valet/shared/protocol/system";
import { parseCapacity, parseConfig } from "../../config.ts";
import { checkBroker } from "../checks/check-broker.ts";
import { checkProvider } from "../checks/check-provider.ts";
import { createRoutes } from "../context.ts";
import { answer, PROBLEM } from "../openapi.ts";

export const system = createRoutes();

system.openapi(
  createRoute({
    method: "get",
    path: "/api/system",
    operationId: "checkSystem",
    summary: "Asks the model's provider and the sandbox broker, and says what they answer",
    description:
      "The provider is asked for its models, never for an answer of one, which may cost. The Worker asks; the model's calls come from the " +
      "sandboxes.",
    responses: { 200: answer(SystemView, "What they answer"), default: PROBLEM },
  }),
  async (c) => {
    const { modelAccess, broker } = parseConfig(c.env);
    const { awake, starting } = parseCapacity(c.env);
    const [model, found] = await Promise.all([checkProvider(modelAccess), checkBroker(broker.url)]);
    const limit = (value: number) => (Number.isFinite(value) ? value : null);
    return c.json({ model, broker: found, capacity: { awake: limit(awake), starting: limit(starting) } }, 200);
  },
);
