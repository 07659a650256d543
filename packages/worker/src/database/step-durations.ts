/** How long the steps of an owner's work took: the last durations of each tool and of each model. */
import { SAMPLES_KEPT, type StepDurations } from "@valet/shared/answers/verdict/durations";

/** How many tools and models of an owner are kept. Their names come from sandboxes, which could make up any number. */
const MAX_KEYS = 500;

/**
 * Adds the durations of a turn, unless the turn's row exists already: then they were added with it. In a batch it comes before the
 * statement that inserts the turn. It writes a row for each tool and model.
 */
export function addStepDurations(
  db: D1Database,
  ownerId: string,
  attemptId: string,
  durations: readonly StepDurations[],
): D1PreparedStatement {
  return db
    .prepare(
      `INSERT INTO step_durations (owner_id, kind, name, samples)
       SELECT ?1, json_extract(step.value, '$.kind'), json_extract(step.value, '$.name'), json_extract(step.value, '$.ms')
       FROM json_each(?2) AS step
       WHERE NOT EXISTS (SELECT 1 FROM turns WHERE attempt_id = ?3)
         AND ((SELECT COUNT(*) FROM (SELECT 1 FROM step_durations WHERE owner_id = ?1 LIMIT ${MAX_KEYS})) < ${MAX_KEYS}
           OR EXISTS (SELECT 1 FROM step_durations AS known WHERE known.owner_id = ?1
             AND known.kind = json_extract(step.value, '$.kind') AND known.name = json_extract(step.value, '$.name')))
       ON CONFLICT (owner_id, kind, name) DO UPDATE SET samples = (
         SELECT json_group_array(value) FROM (
           SELECT value FROM (
             SELECT value, key, 0 AS part FROM json_each(excluded.samples)
             UNION ALL SELECT value, key, 1 FROM json_each(step_durations.samples))
           ORDER BY part, key LIMIT ?4))`,
    )
    .bind(ownerId, JSON.stringify(durations), attemptId, SAMPLES_KEPT);
}

/** A tool or a model. */
export type StepKey = Pick<StepDurations, "kind" | "name">;

/** Returns the last durations of tools and models, newest first, in ms. Those without any are missing. */
export async function readStepDurations(
  db: D1Database,
  ownerId: string,
  keys: readonly StepKey[],
): Promise<readonly (StepKey & { readonly samples: readonly number[] })[]> {
  const { results } = await db
    .prepare(
      `SELECT found.kind, found.name, found.samples FROM json_each(?2) AS wanted CROSS JOIN step_durations AS found
       ON found.owner_id = ?1 AND found.kind = json_extract(wanted.value, '$.kind')
         AND found.name = json_extract(wanted.value, '$.name')`,
    )
    .bind(ownerId, JSON.stringify(keys.map(({ kind, name }) => ({ kind, name }))))
    .all<StepKey & { samples: string }>();
  return results.map(({ kind, name, samples }) => ({ kind, name, samples: JSON.parse(samples) as number[] }));
}
