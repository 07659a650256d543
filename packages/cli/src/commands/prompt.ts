import { LIMITS } from "@valet/shared/limits";
import { QUEUE_MODES, type QueueMode } from "@valet/shared/spans";
import { type Command, Option } from "commander";
import { connect, type GlobalOptions, print, printJson, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { whileItGoesOn } from "../goes-on.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { answerText, outcomeLines, waitForMessage } from "../wait.ts";
import { timeoutOption } from "./arguments.ts";

interface PromptOptions extends GlobalOptions {
  readonly session?: string;
  readonly repo?: string;
  readonly branch?: string;
  readonly trustRepositoryConfig?: boolean;
  readonly model?: string;
  readonly channel?: string;
  readonly mode?: QueueMode;
  readonly wait: boolean;
  readonly timeout: number;
}

export function addPrompt(program: Command): void {
  program
    .command("prompt <content>")
    .description("send a message to a session, new or existing, and print the answer")
    .option("--session <id>", "the session; a new one if omitted")
    .option("--repo <url>", "for a new session: https or ssh URL of a git repository")
    .option("--branch <name>", "for a new session: the branch to check out")
    .option(
      "--trust-repository-config",
      "for a new session: use the repository's opencode.json, plugins and MCP servers",
    )
    .option(
      "--model <provider/model>",
      "the preferred model; an existing session can use the models of its own endpoint",
    )
    .option("--channel <id>", "the channel; messages of different channels run in parallel")
    .addOption(new Option("--mode <mode>", "what to do if a turn is running").choices(QUEUE_MODES))
    .option("--no-wait", "do not wait for the answer")
    .addOption(timeoutOption("how long to wait", LIMITS.commandWaitMs))
    .addHelpText(
      "after",
      `
A wait that ends early, by --timeout or by Ctrl-C (exit code 130), leaves the work as it is.
${helpEnd(
  "the message did not end well, or not within --timeout",
  'prompt --repo https://github.com/you/project "What does this project do?"',
  `prompt --session ${EXAMPLE_SESSION} "Add a test for it." --timeout 10m`,
)}`,
    )
    .action(async (content: string, _options, command: Command) => {
      const options = command.optsWithGlobals<PromptOptions>();
      const api = connect(options);
      const sessionId =
        options.session === undefined
          ? (await api.createSession(newSession(options))).id
          : await findSessionId(api, options.session);
      if (options.session === undefined) report(`Session ${sessionId}`);
      const sent = await whileItGoesOn(options, sessionId, () =>
        api.sendMessage(sessionId, {
          content,
          ...(options.model === undefined ? {} : { model: options.model }),
          ...(options.channel === undefined ? {} : { channel: options.channel }),
          ...(options.mode === undefined ? {} : { queueMode: options.mode }),
        }),
      );
      if (!options.wait) {
        if (options.json) printJson({ sessionId, ...sent });
        else print(`${sent.messageId} ${sent.status}`);
        return;
      }
      const { messageId } = sent;
      const message = await whileItGoesOn(options, sessionId, () =>
        waitForMessage(api, sessionId, messageId, report, options.timeout),
      );
      if (options.json) printJson({ sessionId, message });
      else print(answerText(message) || `(no text; outcome: ${message.outcome})`);
      if (message.outcome !== "ok") {
        outcomeLines(message).forEach(report);
        process.exitCode = ExitCode.FAILED;
      }
      report(`Trace:   pnpm valet trace ${sessionId} ${message.traceId ?? ""}`);
    });
}

/**
 * Returns the settings of a new session. The model is among them, since an agent knows only the models that its session
 * was created with.
 */
function newSession({ repo, branch, model, trustRepositoryConfig }: PromptOptions) {
  return {
    ...(repo === undefined ? {} : { repoUrl: repo }),
    ...(branch === undefined ? {} : { branch }),
    ...(model === undefined ? {} : { model }),
    ...(trustRepositoryConfig === true ? { trustRepositoryConfig } : {}),
  };
}
