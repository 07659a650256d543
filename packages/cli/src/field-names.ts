/** Names what an API's error is about as the user of a command has given it: by its option or its argument. Pure. */
import type { Command } from "commander";

/** The fields of the API for which commands have another word. */
const WORDS: { readonly [field: string]: string | undefined } = {
  repoUrl: "repo",
  q: "search",
  queueMode: "mode",
  expiresAt: "expires",
};

/** Returns a function that names a field by its path. If the command has no word for the field, such as a step of a workflow, its name is the path. */
export function fieldNames({
  options,
  registeredArguments,
}: Pick<Command, "options" | "registeredArguments">): (path: string) => string {
  return (path) => {
    const [field = ""] = path.split(".");
    const word = WORDS[field] ?? field;
    const argument = registeredArguments.find((each) => each.name() === word);
    if (argument !== undefined) return argument.required ? `<${word}>` : `[${word}]`;
    return options.find((option) => option.attributeName() === word)?.long ?? path;
  };
}
