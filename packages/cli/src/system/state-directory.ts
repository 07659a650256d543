import { join, resolve } from "node:path";
import { makePrivateDirectory } from "@valet/sandbox";
import { UserError } from "../errors.ts";

/** As what `up` holds its state directory. */
export const UP_ROLE = "valet-up";

export interface StateDirectory {
  readonly path: string;
  /** For the sandbox broker. */
  readonly broker: string;
  /** For the Worker's databases. */
  readonly storage: string;
  /** Every line of the Worker and of workerd. */
  readonly workerLog: string;
}

/**
 * Makes the directory, or takes the one that is there, readable by its owner only: it holds tokens and what agents work on.
 * @throws UserError when that cannot be
 */
export function openStateDirectory(path: string): StateDirectory {
  try {
    const real = makePrivateDirectory(resolve(path));
    return {
      path: real,
      broker: join(real, "broker"),
      storage: join(real, "storage"),
      workerLog: join(real, "log", "worker.log"),
    };
  } catch (error) {
    throw new UserError(`The state directory cannot be used: ${(error as Error).message}`);
  }
}
