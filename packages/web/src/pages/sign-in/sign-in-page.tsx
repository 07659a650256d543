import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi, useRouter } from "@tanstack/react-router";
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { signInWithTicket, signInWithToken } from "../../api/page-session.ts";
import { errorSentence, isPassing, isSignedOut } from "../../api/problem.ts";
import { forgetKept } from "../../app/kept.ts";
import { useTitle } from "../../app/use-title.ts";
import { Button } from "../../ui/button.tsx";
import { Input } from "../../ui/field.tsx";
import { Notice } from "../../ui/notes.tsx";
import { destinationOf, ticketOf } from "./sign-in.ts";

const route = getRouteApi("/sign-in");

export default function SignInPage() {
  useTitle("Sign in");
  const { to } = route.useSearch();
  const router = useRouter();
  const queryClient = useQueryClient();
  const enter = () => {
    // What the last person of this page has read is not for the next one. Drafts stay, with their files and ids, for whoever signs in
    // again after their sign-in has expired: the page shows a draft only in its session, which has one owner.
    queryClient.clear();
    forgetKept("view");
    router.history.replace(destinationOf(to));
  };
  const byTicket = useMutation({ mutationFn: signInWithTicket, onSuccess: enter, meta: { showsErrors: true } });
  const byToken = useMutation({ mutationFn: signInWithToken, onSuccess: enter, meta: { showsErrors: true } });
  useTicketOnce(byTicket.mutate);

  if (byTicket.isPending || byTicket.isSuccess) {
    return (
      <Frame>
        <p role="status">Signing in…</p>
      </Frame>
    );
  }
  return (
    <Frame>
      {byTicket.isError && (
        <Notice icon="failed" isBad className="mb-4">
          <b>This link did not sign you in.</b> {ticketText(byTicket.error)}
          {isPassing(byTicket.error) && (
            <>
              {" "}
              <Button onClick={() => byTicket.mutate(byTicket.variables)}>Try again</Button>
            </>
          )}
        </Notice>
      )}
      <p className="m2">
        Run <code>valet open</code> on the machine where <code>valet up</code> runs: it opens a new link, which signs
        you in once.
      </p>
      <TokenForm
        error={byToken.isError ? tokenText(byToken.error) : undefined}
        isBusy={byToken.isPending}
        onToken={(token) => byToken.mutate(token)}
      />
    </Frame>
  );
}

function Frame({ children }: { readonly children: ReactNode }) {
  return (
    <div className="page max-w-[30rem]! pt-[12vh]!">
      <h1 className="mb-3">Sign in to Valet</h1>
      {children}
    </div>
  );
}

function TokenForm(props: {
  readonly error: string | undefined;
  readonly isBusy: boolean;
  readonly onToken: (token: string) => void;
}) {
  const [token, setToken] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const trimmed = token.trim();
    if (trimmed !== "" && !props.isBusy) props.onToken(trimmed);
  };
  return (
    <form className="card mt-4 grid gap-3" onSubmit={submit}>
      <Input
        label="Or paste a token"
        type="password"
        autoComplete="off"
        spellCheck={false}
        value={token}
        error={props.error}
        note="It stays in the memory of this page: a reload asks for it again."
        onChange={(event) => setToken(event.target.value)}
      />
      <div>
        <Button look="primary" type="submit" isBusy={props.isBusy}>
          Sign in
        </Button>
      </div>
    </form>
  );
}

/** Uses the ticket of the link, once, and removes it from the address. */
function useTicketOnce(use: (ticket: string) => void): void {
  const isDone = useRef(false);
  useEffect(() => {
    const ticket = ticketOf(location.hash);
    if (ticket === undefined || isDone.current) return;
    isDone.current = true;
    history.replaceState(history.state, "", location.pathname + location.search);
    use(ticket);
  }, [use]);
}

function ticketText(error: unknown): string {
  if (!isSignedOut(error)) return errorSentence(error);
  return "A link works once, within ten minutes; this one was used, or is too old.";
}

function tokenText(error: unknown): string {
  if (!isSignedOut(error)) return errorSentence(error);
  return "The token is unknown, was revoked, or has expired.";
}
