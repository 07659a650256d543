/** Asks a person before something is lost. */
import { createInterface } from "node:readline/promises";
import { visibleText } from "@valet/shared/visible-text";
import { report } from "./context.ts";
import { ExitCode, UserError } from "./errors.ts";

/** What the exit codes of a command that asks mean beside 0, for its help. */
export const ASKING_CODES =
  "1 you answered no; 2 usage or environment error; also 2 without --yes where there is no terminal to ask on";

/** What a command asks before something is lost. */
interface Asked {
  /** Whether the person agreed beforehand (`--yes`). */
  readonly yes: boolean | undefined;
  /** What will be lost, in sentences. */
  readonly loss: string;
  /** Without its "(yes/no)". */
  readonly question: string;
  /** What to say where there is no terminal, after the loss. */
  readonly instead?: string;
  /** What to say if the person does not agree. */
  readonly refused: string;
}

/**
 * Asks, unless that is settled. If the person does not agree, the process will exit with 1.
 * @throws UserError (exit code 2) where there is no terminal
 */
export async function agree({ yes, loss, question, instead, refused }: Asked): Promise<boolean> {
  if (yes || (await isAgreed(loss, question, instead))) return true;
  report(refused);
  process.exitCode = ExitCode.FAILED;
  return false;
}

/** Asks on the terminal. @throws UserError where there is none */
async function isAgreed(loss: string, question: string, instead = "Say so with --yes."): Promise<boolean> {
  const { stdin: input, stderr: output } = process;
  if (!input.isTTY || !output.isTTY) throw new UserError(`${loss} ${instead}`, { type: "not-agreed" });
  const terminal = createInterface({ input, output });
  // Ctrl-D is no agreement.
  const closed = new Promise<string>((resolve) => terminal.once("close", () => resolve("")));
  try {
    const asked = terminal.question(`${visibleText(loss)}\n${question} (yes/no) `);
    return /^y(?:es)?$/i.test((await Promise.race([asked, closed])).trim());
  } finally {
    terminal.close();
  }
}
