/**
 * The numbers of W3C Trace Context and OTLP that the tracer itself needs. The tables for its users are made of them and are
 * in no bundle that does not ask for them.
 */

/** `trace-flags`, Trace Context Level 2, section 3.2.2.5: the caller may have recorded this trace. */
export const SAMPLED = 0x01;
/** The trace id's right 7 bytes are random. */
export const RANDOM = 0x02;
/** All that Level 2 knows. */
export const KNOWN_FLAGS = 0x03;

/** `SpanFlags` of trace.proto, above W3C's: it is known whether the context is remote. */
export const HAS_IS_REMOTE = 0x100;
/** It is. */
export const IS_REMOTE = 0x200;

/** `SpanKind` of trace.proto: the first and the last that tell something. */
export const INTERNAL = 1;
export const CONSUMER = 5;

/** `Status.StatusCode` of trace.proto. */
export const UNSET = 0;
export const OK = 1;
export const ERROR = 2;
