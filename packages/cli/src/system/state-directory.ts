import { join, resolve } from "node:path";
import { makePrivateDirectory } from "@valet/sandbox";
import { creationText } from "../creation-error.ts";
import { UserError } from "../errors.ts";

/** The role under which `up` locks its state directory. */
export const UP_ROLE = "valet-up";

export interface StateDirectory {
  readonly path: string;
  /** The sandbox broker's directory. */
  readonly broker: string;
  /** The directory of the Worker's databases. */
  readonly storage: string;
  /** What Miniflare keeps as long as it runs. The next start removes what a killed one has left. */
  readonly temporary: string;
  /** Where the page is built, if its own package cannot be written. */
  readonly page: string;
  /** The log file: every line of the Worker and of workerd. */
  readonly workerLog: string;
}

/**
 * Creates or opens the state directory. Only its owner can read it: it holds tokens and the agents' work.
 * @throws UserError when the directory cannot be used
 */
export function openStateDirectory(path: string): StateDirectory {
  try {
    return stateDirectoryAt(makePrivateDirectory(resolve(path)));
  } catch (error) {
    const why = creationText(path, error, "Name another one with --state.") ?? (error as Error).message;
    throw new UserError(`The state directory cannot be used: ${why}`);
  }
}

/** Returns the places in the state directory at a path, and touches nothing. */
export function stateDirectoryAt(path: string): StateDirectory {
  return {
    path,
    broker: join(path, "broker"),
    storage: join(path, "storage"),
    temporary: join(path, "miniflare"),
    page: join(path, "page"),
    workerLog: join(path, "log", "worker.log"),
  };
}
