/** What stands in place of a page: it failed, it is not there, it loads. */
import { type ErrorComponentProps, Link, useRouter } from "@tanstack/react-router";
import { buttonClass } from "../ui/button.tsx";
import { Empty, ErrorNote, Loading } from "../ui/notes.tsx";
import { useTitle } from "./use-title.ts";

/** A page that failed; the frame around it goes on working. */
export function PageError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  useTitle("Error");
  const retry = () => {
    reset();
    void router.invalidate();
  };
  return (
    <div className="page">
      <h1 className="sr">Error</h1>
      <ErrorNote what="This page failed." error={error} onRetry={retry}>
        <Link to="/" className={buttonClass("quiet")}>
          To the inbox
        </Link>
      </ErrorNote>
    </div>
  );
}

export function PageNotFound() {
  useTitle("Not found");
  return (
    <div className="page">
      <h1 className="sr">Not found</h1>
      <Empty
        title="There is no such page"
        action={
          <Link to="/" className={buttonClass()}>
            To the inbox
          </Link>
        }
      >
        The address is wrong, or it is of a newer version of Valet. A session that was deleted is gone for good.
      </Empty>
    </div>
  );
}

export function PageLoading() {
  return (
    <div className="page">
      <Loading what="the page" rows={6} />
    </div>
  );
}
