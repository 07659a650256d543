/**
 * The tools by which an agent gives work to other sessions. A child session reports to its parent in a message, so no
 * tool waits for work.
 */
import {
  type CHILD_SESSION_TOOLS,
  type ChildSession,
  type ChildSessionRequest,
  EndSession,
  MessageSession,
  SpawnSession,
} from "@valet/shared/protocol/child-sessions";
import { costText } from "@valet/shared/protocol/cost";
import type { z } from "zod";
import { askRunner, type RunnerAccess } from "./runner-access.ts";

/** The part of OpenCode's tool context that the tools use. */
export interface ToolContext {
  readonly sessionID: string;
  readonly messageID: string;
  readonly callID?: string;
  readonly abort: AbortSignal;
}

/** A tool in OpenCode's form: arguments by name, each a Zod schema. */
export interface Tool<S extends z.ZodRawShape> {
  readonly description: string;
  readonly args: S;
  /** @throws Error whose text the agent reads */
  execute(args: z.infer<z.ZodObject<S>>, context: ToolContext): Promise<string>;
}

export function childSessionTools(access: RunnerAccess) {
  const ask = async (request: ChildSessionRequest, { sessionID, messageID, callID, abort }: ToolContext) => {
    const call = { opencodeSessionId: sessionID, messageId: messageID, callId: callID ?? messageID, request };
    const answer = await askRunner(access, call, abort);
    if (!answer.ok) throw new Error(answer.error);
    return answer.sessions;
  };
  const define = <S extends z.ZodRawShape>(
    description: string,
    schema: z.ZodObject<S>,
    execute: Tool<S>["execute"],
  ): Tool<S> => ({ description, args: schema.shape, execute });

  return {
    spawn_session: define(
      "Starts another agent session with its own sandbox and its own clone of the repository, and gives it a task. It runs " +
        "in parallel: do not wait for it. You receive a message when its work is done, has failed or was ended. You cannot see " +
        "its files: have it push or report what you need, and push what it needs.",
      SpawnSession,
      async (args, context) => {
        const [session] = await ask({ action: "spawn", ...args }, context);
        return `Session ${session?.id} starts and works on its task. You receive a message when it is done, has failed or was ended.`;
      },
    ),
    list_sessions: define(
      "Lists the sessions that you have started, with what each is doing and what it has cost.",
      EndSession.omit({ session: true }),
      async (_args, context) => {
        const sessions = await ask({ action: "list" }, context);
        return sessions.length === 0 ? "You have started no sessions." : sessions.map(describe).join("\n");
      },
    ),
    message_session: define(
      "Sends a message to a session that you have started. You receive a message when it has answered.",
      MessageSession,
      async (args, context) => {
        await ask({ action: "message", ...args }, context);
        return `Session ${args.session} has received the message.`;
      },
    ),
    end_session: define(
      "Ends a session that you have started, with its sandbox and all its files. Do so when you no longer need it.",
      EndSession,
      async (args, context) => {
        await ask({ action: "end", ...args }, context);
        return `Session ${args.session} is being ended.`;
      },
    ),
  } satisfies Record<ToolName, unknown>;
}

/** Every action of the protocol has a tool here, and every tool an action. */
type ToolName = (typeof CHILD_SESSION_TOOLS)[keyof typeof CHILD_SESSION_TOOLS];

function describe({ id, title, status, agent, queueLength = 0, costUsd, isCostPartial }: ChildSession): string {
  const facts = [
    status,
    agent === undefined ? undefined : `agent ${agent}`,
    queueLength > 0 ? `${queueLength} messages waiting` : undefined,
    costUsd === undefined ? undefined : costText(costUsd, isCostPartial),
  ];
  return `${id}${title === undefined ? "" : ` "${title}"`}: ${facts.filter((fact) => fact !== undefined).join(", ")}`;
}
