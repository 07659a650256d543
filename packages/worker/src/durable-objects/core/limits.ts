/** Limits of batches, and the default channel. */

/** The limits of a batch, which must fit into one frame of the link with all other fields. */
export const BATCH_LIMITS = { messages: 100, bytes: 400 * 1024, attachments: 20 } as const;

/** The channel of messages that name none. */
export const MAIN_CHANNEL = "main";
