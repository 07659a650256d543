import { LIMITS } from "@valet/shared/limits";
import type { AskedKind } from "@valet/shared/protocol/ask-before";
import { QUEUE_MODES, type QueueMode } from "@valet/shared/spans";
import { type Command, Option } from "commander";
import { ApiClient } from "../api-client.ts";
import { checkMessage, checkSession } from "../check-request.ts";
import { findConnection, type GlobalOptions, print, printJson, report } from "../context.ts";
import { ExitCode } from "../errors.ts";
import { findSessionId } from "../find-id.ts";
import { whileItGoesOn } from "../goes-on.ts";
import { EXAMPLE_SESSION, helpEnd } from "../help-text.ts";
import { repositoryUrl } from "../local-repository.ts";
import { readStdin } from "../read-stdin.ts";
import { userFolder } from "../user-folder.ts";
import { answerText, outcomeLines, waitForMessage } from "../wait.ts";
import { parseAskBefore, timeoutOption } from "./arguments.ts";

interface PromptOptions extends GlobalOptions {
  readonly session?: string;
  readonly repo?: string;
  readonly branch?: string;
  readonly trustRepositoryConfig?: boolean;
  readonly agentOtlp?: "on" | "off";
  readonly askBefore?: AskedKind[];
  readonly model?: string;
  readonly channel?: string;
  readonly mode?: QueueMode;
  readonly wait: boolean;
  readonly timeout: number;
}

/**
 * The options that only a new session takes. With an existing session they are refused rather than ignored: whoever passes
 * `--ask-before`, above all, must not believe that the agent asks.
 */
const OF_NEW_SESSIONS = ["repo", "branch", "trustRepositoryConfig", "agentOtlp", "askBefore"];

export function addPrompt(program: Command): void {
  program
    .command("prompt <content>")
    .description("send a message to a session, new or existing, and print the answer; `-` reads it from standard input")
    .addOption(new Option("--session <id>", "the session; a new one if omitted").conflicts(OF_NEW_SESSIONS))
    .option(
      "--repo <url or folder>",
      "for a new session: https or ssh URL of a git repository, or a folder of this machine",
    )
    .option("--branch <name>", "for a new session: the branch to check out")
    .option(
      "--trust-repository-config",
      "for a new session: use the repository's opencode.json, plugins and MCP servers",
    )
    .addOption(
      new Option(
        "--agent-otlp <state>",
        "for a new session: whether programs of its commands send their traces to it; by default as VALET_AGENT_OTLP says",
      ).choices(["on", "off"]),
    )
    .option(
      "--ask-before <kinds>",
      "for a new session: what its agent asks a person for first: commands, edits, web, with commas between them",
      parseAskBefore,
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
The message goes to the model as it is written: slash commands such as /compact are not run.
A folder after --repo must be in a git repository of this machine; the session has what is committed.
For -, the message is read from standard input, such as what another program prints.
A wait that ends early, by --timeout or by Ctrl-C (exit code 130), leaves the work as it is.
${helpEnd(
  "the message did not end well, or not within --timeout",
  'prompt --repo https://github.com/you/project "What does this project do?"',
  'prompt --repo . "What does this project do?"',
  `prompt --session ${EXAMPLE_SESSION} "Add a test for it." --timeout 10m`,
)}`,
    )
    .action(async (text: string, _options, command: Command) => {
      const options = command.optsWithGlobals<PromptOptions>();
      const connection = findConnection(options);
      const api = new ApiClient(connection);
      const content = text === "-" ? await readStdin("the message", report) : text;
      const message = checkMessage({
        content,
        ...(options.model === undefined ? {} : { model: options.model }),
        ...(options.channel === undefined ? {} : { channel: options.channel }),
        ...(options.mode === undefined ? {} : { queueMode: options.mode }),
      });
      const sessionId =
        options.session === undefined
          ? (await api.createSession(checkSession(await newSession(options, connection.url)))).id
          : await findSessionId(api, options.session);
      if (options.session === undefined) report(`Session ${sessionId}`);
      const sent = await whileItGoesOn(options, sessionId, () => api.sendMessage(sessionId, message));
      if (!options.wait) {
        if (options.json) printJson({ sessionId, ...sent });
        else print(`${sent.messageId} ${sent.status}`);
        return;
      }
      const { messageId } = sent;
      const ended = await whileItGoesOn(options, sessionId, () =>
        waitForMessage(api, sessionId, messageId, report, options.timeout),
      );
      if (options.json) printJson({ sessionId, message: ended });
      else print(answerText(ended) || `(no text; outcome: ${ended.outcome})`);
      if (ended.outcome !== "ok") {
        outcomeLines(ended).forEach(report);
        process.exitCode = ExitCode.FAILED;
      }
      report(`Trace:   pnpm valet trace ${sessionId} ${ended.traceId ?? ""}`);
    });
}

/**
 * Returns the settings of a new session. The model is among them, since an agent knows only the models that its session
 * was created with.
 * @throws UserError if the repository is a folder that cannot be cloned
 */
async function newSession(options: PromptOptions, valetUrl: string) {
  const { repo, branch, model, trustRepositoryConfig, agentOtlp, askBefore } = options;
  const local = { cwd: userFolder(), valetUrl, branch, report };
  return {
    ...(repo === undefined ? {} : { repoUrl: await repositoryUrl(repo, local) }),
    ...(branch === undefined ? {} : { branch }),
    ...(model === undefined ? {} : { model }),
    ...(trustRepositoryConfig === true ? { trustRepositoryConfig } : {}),
    ...(agentOtlp === undefined ? {} : { agentOtlp: agentOtlp === "on" }),
    ...(askBefore === undefined ? {} : { askBefore }),
  };
}
