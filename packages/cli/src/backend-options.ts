/** The options that name the backend which a command asks for spans. */
import { type Command, Option } from "commander";
import { BackendQuery } from "./backend-query.ts";

export interface BackendArguments {
  readonly tempoUrl?: string;
  readonly jaegerUrl?: string;
  readonly queryHeader?: string;
}

/** @param what the backend is for, before its name */
export function addBackendOptions(command: Command, what: string): Command {
  return command
    .addOption(new Option("--tempo-url <url>", `${what} this Tempo`).conflicts("jaegerUrl"))
    .option("--jaeger-url <url>", `${what} this Jaeger`)
    .option("--query-header <value>", "the Authorization header for Tempo or Jaeger (VALET_QUERY_AUTHORIZATION)");
}

/** Returns the backend that the options name, if they name one. @throws UserError for a URL that cannot be used */
export function backendOf({ tempoUrl, jaegerUrl, queryHeader }: BackendArguments): BackendQuery | undefined {
  const authorization = queryHeader ?? process.env.VALET_QUERY_AUTHORIZATION;
  if (tempoUrl !== undefined) return new BackendQuery({ kind: "Tempo", url: tempoUrl, authorization });
  return jaegerUrl === undefined ? undefined : new BackendQuery({ kind: "Jaeger", url: jaegerUrl, authorization });
}
