/** D1 as far as a session's projection uses it: it stores the newest version of the session and every turn, or is down. */
import type { SessionView } from "@valet/shared/protocol/session-view";

interface Statement {
  readonly query: string;
  readonly values: readonly unknown[];
}

export class Database {
  session: SessionView | undefined;
  readonly turns = new Set<string>();
  isAway = false;
  /** Whether it takes calls and never answers. */
  hangs = false;
  #version = 0;

  get binding(): D1Database {
    const binding = {
      prepare: (query: string) => ({ bind: (...values: unknown[]): Statement => ({ query, values }) }),
      batch: async (statements: readonly Statement[]) => {
        if (this.isAway) throw new DatabaseAway();
        if (this.hangs) await new Promise(() => {});
        for (const { query, values } of statements) {
          if (query.includes("INTO turns")) this.turns.add(values[1] as string);
          else if ((values[6] as number) > this.#version) {
            this.#version = values[6] as number;
            this.session = JSON.parse(values[7] as string) as SessionView;
          }
        }
      },
    };
    return binding as unknown as D1Database;
  }
}

/** The only failure that a course causes on purpose and that the object reports. */
export class DatabaseAway extends Error {
  override readonly name = "DatabaseAway";
}
