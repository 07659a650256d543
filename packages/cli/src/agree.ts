/** Asks a person before something is lost. */
import { createInterface } from "node:readline/promises";
import { visibleText } from "@valet/shared/visible-text";
import { UserError } from "./errors.ts";

/**
 * Asks on the terminal.
 * @param loss what will be lost, in sentences
 * @param question without its "(yes/no)"
 * @param instead what to say where there is no terminal, after the loss
 * @throws UserError where there is none
 */
export async function isAgreed(loss: string, question: string, instead = "Say so with --yes."): Promise<boolean> {
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
