import { createRoute } from "@hono/zod-openapi";
import {
  AcceptedWorkflow,
  ExecutionId,
  StartWorkflow,
  UserQuery,
  WorkflowList,
  WorkflowsQuery,
} from "@valet/shared/protocol/session-api";
import { WorkflowView } from "@valet/shared/protocol/session-view";
import { agentOf, change, createRoutes, speakFor } from "../context.ts";
import { answer, body, PROBLEM, SESSION_PATH, SessionParams } from "../openapi.ts";
import { unwrap } from "../problem.ts";

export const workflows = createRoutes();

const PATH = `${SESSION_PATH}/workflows`;
const Params = SessionParams.extend({ executionId: ExecutionId });

workflows.openapi(
  createRoute({
    method: "post",
    path: PATH,
    operationId: "startWorkflow",
    summary: "Runs a list of steps in order",
    description:
      "A workflow waits in the queue as a message does. A known `id` with the same content returns the existing execution. " +
      "A workflow whose runner was lost continues once, with its first step without a result, unless that is a command or the sandbox's " +
      "files are lost: no command runs twice, and no step runs without the work of those before it.",
    request: {
      params: SessionParams,
      body: body(StartWorkflow, {
        name: "fix and test",
        steps: [
          { name: "fix", prompt: "Fix the failing test" },
          { name: "test", run: "npm test" },
        ],
      }),
    },
    responses: { 202: answer(AcceptedWorkflow, "The workflow was accepted"), default: PROBLEM },
  }),
  async (c) => {
    const input = c.req.valid("json");
    speakFor(c, input);
    return c.json(await change(c, 202, (ctx) => agentOf(c).startWorkflow(input, ctx)), 202);
  },
);

workflows.openapi(
  createRoute({
    method: "get",
    path: PATH,
    operationId: "listWorkflows",
    summary: "Lists the executions of workflows, oldest or newest first",
    description: "A cursor continues in the order of its list.",
    request: { params: SessionParams, query: WorkflowsQuery },
    responses: {
      200: answer(WorkflowList, "A page of executions, without the output of their steps"),
      default: PROBLEM,
    },
  }),
  async (c) => {
    const { cursor, order } = c.req.valid("query");
    return c.json(unwrap(await agentOf(c).workflows(cursor, order)), 200);
  },
);

workflows.openapi(
  createRoute({
    method: "get",
    path: `${PATH}/{executionId}`,
    operationId: "getWorkflow",
    summary: "Shows an execution, with the progress and output of its steps",
    request: { params: Params },
    responses: { 200: answer(WorkflowView, "The execution"), default: PROBLEM },
  }),
  async (c) => c.json(unwrap(await agentOf(c).workflow(c.req.valid("param").executionId)), 200),
);

workflows.openapi(
  createRoute({
    method: "delete",
    path: `${PATH}/{executionId}`,
    operationId: "withdrawWorkflow",
    summary: "Withdraws a queued workflow",
    description: "To end a running workflow, abort the session's work.",
    request: { params: Params, query: UserQuery },
    responses: { 200: answer(WorkflowView, "The execution"), default: PROBLEM },
  }),
  async (c) => {
    const { executionId } = c.req.valid("param");
    speakFor(c, c.req.valid("query"));
    c.var.trace?.describe({ "valet.workflow.execution.id": executionId });
    return c.json(await change(c, 200, (ctx) => agentOf(c).withdrawWorkflow(executionId, ctx)), 200);
  },
);
