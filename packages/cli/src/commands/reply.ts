import type { QuestionView, SessionView } from "@valet/shared/protocol/session-view";
import { PermissionReply } from "@valet/shared/protocol/session-view";
import type { Command } from "commander";
import { connect, type GlobalOptions, print, printJson } from "../context.ts";
import { UserError } from "../errors.ts";

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
    .action(async (sessionId: string, requestId: string, answers: string[], _options, command: Command) => {
      const options = command.optsWithGlobals<ReplyOptions>();
      const api = connect(options);
      const { permissions, questions } = await api.session(sessionId);
      const question = questions.find(({ id }) => id === requestId);
      let session: SessionView;
      if (permissions.some(({ id }) => id === requestId)) {
        session = await api.replyPermission(sessionId, requestId, leaveIn(answers, options.decline));
      } else if (question !== undefined) {
        session = await api.replyQuestion(sessionId, requestId, answersIn(answers, question, options.decline));
      } else {
        throw new UserError(`The agent of ${sessionId} has no open request ${requestId}.`);
      }
      if (options.json) printJson({ session });
      else print("Answer sent.");
    });
}

function leaveIn([answer, ...others]: string[], decline = false): PermissionReply {
  const reply = PermissionReply.safeParse(decline ? "reject" : answer);
  if (!reply.success || others.length > 0)
    throw new UserError("A permission request is answered with once, always or reject.");
  return reply.data;
}

function answersIn(answers: string[], { questions }: QuestionView, decline = false): string[][] | null {
  if (decline) return null;
  if (answers.length !== questions.length) {
    throw new UserError(`The agent asks ${questions.length} questions; give an answer to each, or --decline.`);
  }
  return answers.map((answer) => [answer]);
}
