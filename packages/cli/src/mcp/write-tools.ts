/** The tools that change something: only with `valet mcp --write`. */
import { randomUUID } from "node:crypto";
import { SendMessage } from "@valet/shared/protocol/session-api";
import { PermissionReply } from "@valet/shared/protocol/session-view";
import { z } from "zod";
import type { ApiClient } from "../api-client.ts";
import { ApiError } from "../api-transport.ts";
import { sendReply } from "../commands/reply.ts";
import { UserError } from "../errors.ts";
import * as args from "./arguments.ts";
import { defineTool, type Effects, type Tool } from "./tool.ts";

const CHANGES: Effects = { readOnlyHint: false, destructiveHint: false, idempotentHint: true, openWorldHint: false };
/** An agent then runs commands, which may do anything. */
const RUNS_AGENT: Effects = { readOnlyHint: false, destructiveHint: true, idempotentHint: false, openWorldHint: true };
const DESTROYS: Effects = { ...CHANGES, destructiveHint: true };

const { content, id, model, channel } = SendMessage.shape;

const send = defineTool({
  name: "send_message",
  title: "Send a message to a session",
  description:
    "Sends a message to the agent of a session and returns at once; a sleeping session wakes. `now` and `messages` show how it goes.",
  input: z.strictObject({
    session: args.session,
    content,
    channel,
    model,
    id: id.describe("Chosen by you: a message that is sent again with the same id runs once"),
  }),
  effects: RUNS_AGENT,
  run: async (api, { session, id = `msg_${randomUUID()}`, ...message }) => {
    const { messageId, status, traceId } = await api
      .sendMessage(session, { ...message, id })
      .catch((error: unknown) => {
        if (!(error instanceof UserError) || error instanceof ApiError) throw error;
        throw new UserError(`${error.message} The message may have arrived: send it again with \`id\` ${id}.`);
      });
    const trace = traceId === undefined ? "" : ` Its trace is ${traceId}.`;
    return {
      lines: [
        `Message ${messageId} is ${status}.${trace} Ask \`now\` what the session does, later \`messages\` or \`why\`.`,
      ],
    };
  },
});

const reply = defineTool({
  name: "reply",
  title: "Answer a request of a session's agent",
  description:
    "Answers an open permission request or questions of a session's agent; `now` shows them with their ids. A permission is for a person " +
    "to give: ask yours first, unless they have told you what to allow.",
  input: z.strictObject({
    session: args.session,
    request: z.string().min(1).max(128).describe("The request's id"),
    permission: PermissionReply.optional().describe("For a permission request"),
    answers: z.array(z.string().max(2000)).max(10).optional().describe("For questions: an answer to each, in order"),
    decline: z.boolean().optional().describe("Declines to answer: a permission is rejected, questions end the turn"),
  }),
  effects: { ...RUNS_AGENT, idempotentHint: true },
  run: async (api, { session, request, permission, answers, decline }) => {
    if ([permission, answers, decline].filter((each) => each !== undefined).length !== 1) {
      throw new UserError(
        "Give one of `permission` (for a permission request), `answers` (for questions) and `decline`.",
      );
    }
    await sendReply(api, session, request, permission === undefined ? (answers ?? []) : [permission], decline);
    return { lines: ["Answer sent."] };
  },
});

type Change = Parameters<ApiClient["change"]>[1];

function changeTool(change: Change, title: string, description: string, effects: Effects): Tool {
  return defineTool({
    name: change,
    title,
    description,
    input: z.strictObject({ session: args.session }),
    effects,
    run: async (api, { session }) => {
      await api.change(session, change);
      return { lines: [`Requested: ${change}. The change goes on; \`now\` shows how far it is.`] };
    },
  });
}

/** Returns a tool that runs only if the session's id is repeated as a confirmation. */
function finalTool(
  name: string,
  title: string,
  loss: string,
  act: (api: ApiClient, id: string) => Promise<unknown>,
): Tool {
  return defineTool({
    name,
    title,
    description: `${loss} Ask your person first.`,
    input: z.strictObject({
      session: args.session,
      confirm: z.string().max(200).optional().describe("The session's id again, once your person has agreed"),
    }),
    effects: DESTROYS,
    run: async (api, { session, confirm }) => {
      if (confirm !== session) {
        throw new UserError(
          `${loss} Nothing was done. Ask your person; if they agree, call this again with \`confirm\` ${session}.`,
        );
      }
      await act(api, session);
      return { lines: [`Requested: ${title.toLowerCase()}. It goes on after this call.`] };
    },
  });
}

export const WRITE_TOOLS: readonly Tool[] = [
  send,
  reply,
  changeTool(
    "abort",
    "Stop what runs in a session",
    "Aborts the running messages and workflows of a session. What the agent has done so far stays; the work itself is lost.",
    DESTROYS,
  ),
  changeTool(
    "hibernate",
    "Put a session to sleep",
    "Saves a session's files and ends its sandbox; the next message wakes it. Background processes in the sandbox end.",
    CHANGES,
  ),
  changeTool("wake", "Wake a session", "Starts the sandbox of a sleeping session, with its files.", CHANGES),
  finalTool("terminate", "Terminate the session", "This ends a session for good and removes its files.", (api, id) =>
    api.change(id, "terminate"),
  ),
  finalTool(
    "delete",
    "Delete the session",
    "This deletes a session for good, with its messages, traces and files.",
    (api, id) => api.deleteSession(id),
  ),
];
