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
    .description("answer what a session's agent asks: once, always or reject; or an answer to each question, in order")
    .option("--decline", "tell the agent that its questions will not be answered")
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
        throw new UserError(`The agent of ${sessionId} does not wait for an answer to ${requestId}.`);
      }
      if (options.json) printJson({ session });
      else print("The answer is on its way.");
    });
}

function leaveIn([answer, ...others]: string[], decline = false): PermissionReply {
  const reply = PermissionReply.safeParse(decline ? "reject" : answer);
  if (!reply.success || others.length > 0) throw new UserError("Leave is given or not with once, always or reject.");
  return reply.data;
}

function answersIn(answers: string[], { questions }: QuestionView, decline = false): string[][] | null {
  if (decline) return null;
  if (answers.length !== questions.length) {
    throw new UserError(`The agent asks ${questions.length}: give an answer to each, or --decline.`);
  }
  return answers.map((answer) => [answer]);
}
