/** D1 as far as a session uses it: it stores the newest version of the session, every turn and the tombstone, or is down. */
import type { SessionView } from "@valet/shared/protocol/session-view";

interface Statement {
  readonly query: string;
  readonly values: readonly unknown[];
}

export class Database {
  session: SessionView | undefined;
  readonly turns = new Set<string>();
  /** How many tombstones were written: a repeated one changes nothing. */
  tombstones = 0;
  /** The values of the first one. */
  tombstone: readonly unknown[] | undefined;
  isAway = false;
  /** Whether it takes calls and never answers. */
  hangs = false;
  #version = 0;

  get binding(): D1Database {
    const binding = {
      prepare: (query: string) => ({
        bind: (...values: unknown[]) => ({ query, values, first: () => this.#first(query) }),
      }),
      batch: async (statements: readonly Statement[]) => {
        await this.#answer();
        for (const statement of statements) this.#write(statement);
        return [];
      },
    };
    return binding as unknown as D1Database;
  }

  async #answer(): Promise<void> {
    if (this.isAway) throw new DatabaseAway();
    if (this.hangs) await new Promise(() => {});
  }

  /** Answers the only question of a session: whether one was deleted. */
  async #first(query: string): Promise<object | null> {
    if (!query.includes("FROM deleted_sessions")) throw new Error(`unexpected: ${query}`);
    await this.#answer();
    return this.tombstones > 0 ? { deleted_at: "2026-01-01T00:00:00.000Z" } : null;
  }

  #write({ query, values }: Statement): void {
    if (query.includes("INTO deleted_sessions")) {
      this.tombstones++;
      this.tombstone ??= values;
      this.session = undefined;
    } else if (query.startsWith("DELETE FROM") || query.includes("FROM webhooks")) return;
    else if (query.includes("INTO turns")) this.turns.add(values[1] as string);
    else if (this.tombstones === 0 && (values[6] as number) > this.#version) {
      this.#version = values[6] as number;
      this.session = JSON.parse(values[7] as string) as SessionView;
    }
  }
}

/** The only failure that a course causes on purpose and that the object reports. */
export class DatabaseAway extends Error {
  override readonly name = "DatabaseAway";
}
