import type { QuestionView, SessionView } from "@valet/shared/protocol/session-view";
import { PermissionReply } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import type { ApiClient } from "../api-client.ts";
import { connect, type GlobalOptions, print, printJson } from "../context.ts";
import { counted } from "../counted.ts";
import { UserError } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { matchId } from "../match-id.ts";

interface ReplyOptions extends GlobalOptions {
  readonly decline?: boolean;
}

export function addReply(program: Command): void {
  program
    .command("reply <session> <request> [answers...]")
    .description(
      "answer a request of a session's agent: once, always or reject for a permission; an answer to each question, in order",
    )
    .option("--decline", "decline to answer the agent's questions")
    .addHelpText(
      "after",
      helpEnd(
        "the request was answered before, or its turn has ended",
        `reply ${EXAMPLE_SESSION} per_1 once`,
        `reply ${EXAMPLE_SESSION} que_1 "the first answer" "the second"`,
      ),
    )
    .action(async (session: string, requestId: string, answers: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<ReplyOptions>();
      const api = connect(options);
      const sessionId = await findSessionId(api, session);
      const changed = await sendReply(api, sessionId, requestId, answers, options.decline);
      if (options.json) printJson({ session: changed });
      else print("Answer sent.");
    });
}

/** Answers an open request of a session's agent. @throws UserError if there is none, or it cannot be answered so */
export async function sendReply(
  api: ApiClient,
  sessionId: string,
  request: string,
  answers: readonly string[],
  decline = false,
): Promise<SessionView> {
  const { permissions, questions } = await api.session(sessionId);
  const isOpen = [...permissions, ...questions].some(({ id }) =>
    id.replace(/^(?:per|que)_/, "").startsWith(request.replace(/^(?:per|que)_/, "")),
  );
  // The API knows requests that are closed, and says why.
  if (!isOpen && request.startsWith("per_")) return api.replyPermission(sessionId, request, leaveIn(answers, decline));
  if (!isOpen && request.startsWith("que_")) {
    return api.replyQuestion(sessionId, request, decline ? null : answers.map((answer) => [answer]));
  }
  const requestId = matchId(request, [...permissions, ...questions], {
    one: `open request of ${sessionId}`,
    many: `open requests of ${sessionId}`,
    type: "request-not-found",
    remedy: `See \`valet status ${sessionId}\`.`,
  });
  if (permissions.some(({ id }) => id === requestId)) {
    return api.replyPermission(sessionId, requestId, leaveIn(answers, decline));
  }
  const question = questions.find(({ id }) => id === requestId);
  if (question === undefined) throw new UserError(`The agent of ${sessionId} has no open request ${requestId}.`);
  return api.replyQuestion(sessionId, requestId, answersIn(answers, question, decline));
}

function leaveIn([answer, ...others]: readonly string[], decline: boolean): PermissionReply {
  const reply = PermissionReply.safeParse(decline ? "reject" : answer);
  if (!reply.success || others.length > 0)
    throw new UserError("A permission request is answered with once, always or reject.");
  return reply.data;
}

function answersIn(answers: readonly string[], { questions }: QuestionView, decline: boolean): string[][] | null {
  if (decline) return null;
  if (answers.length !== questions.length) {
    const each = questions.length === 1 ? "one answer to it" : "an answer to each";
    throw new UserError(`The agent asks ${counted(questions.length, "question")}; give ${each}, or --decline.`);
  }
  return answers.map((answer) => [answer]);
}
