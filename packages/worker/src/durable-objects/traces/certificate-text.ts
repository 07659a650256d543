/** A certificate in a sentence. Pure. */
import type { TraceCertificate } from "@valet/shared/protocol/certificate";

const counted = (count: number) => `${count} ${count === 1 ? "span" : "spans"}`;

/** Returns what the state of a trace means, with its figures. */
export function sentenceOf(certificate: Omit<TraceCertificate, "sentence">): string {
  const { state, known, open, export: exported } = certificate;
  switch (state) {
    case "complete":
      if (exported === null) return `Every span has ended and is stored: ${known}. No backend is configured.`;
      return `The backend has acknowledged every span that is to be sent: ${certificate.sampled}.`;
    case "pending": {
      const why = exported?.reason ? ` (${exported.reason}${exported.stopped ? ", stopped" : ""})` : "";
      const parts = [
        ...(open > 0 ? [`${counted(open)} of ${known} ${open === 1 ? "is" : "are"} open`] : []),
        ...(exported !== null && exported.waiting > 0
          ? [`${counted(exported.waiting)} ${exported.waiting === 1 ? "waits" : "wait"} for the backend${why}`]
          : []),
      ];
      return `${parts.join("; ")}.`;
    }
    case "incomplete":
      return `${lossesOf(certificate).join("; ")}.`;
    case "undetermined":
      if (certificate.unnamed > 0)
        return `${counted(certificate.unnamed)} that nobody can name were lost while this trace lasted.`;
      if (certificate.rejectedWithOthers === 0)
        return `The backend has accepted ${counted(certificate.doubtful)} with an answer that could not be read: it may have rejected some.`;
      return `The backend rejected ${counted(certificate.rejectedWithOthers)} of requests that held this trace and others, without saying which.`;
    case "not_sampled":
      return `None of the ${counted(known)} is sampled: nothing is sent to a backend.`;
  }
}

function lossesOf({ dropped, rejected, removed, export: exported }: Omit<TraceCertificate, "sentence">): string[] {
  const lost = dropped.map(({ reason, spans }) => `${counted(spans)} lost: ${reason}`);
  if (exported === null) return removed > 0 ? [...lost, `${counted(removed)} deleted from the store`] : lost;
  return rejected > 0 ? [...lost, `the backend rejected ${counted(rejected)} without saying which`] : lost;
}
