/** What can be pointed at: a click takes its address, which holds no token. */
import type { ComponentChildren } from "preact";
import { addressOf, type Place } from "../place.ts";
import { note } from "../state.ts";

export const LinkTo = ({ place, children }: { readonly place: Place; readonly children: ComponentChildren }) => (
  <button
    type="button"
    class="link-to mono"
    title="Copy the link to this"
    onClick={(event) => {
      event.stopPropagation();
      const address = addressOf(place);
      history.replaceState(null, "", address);
      void navigator.clipboard.writeText(location.href).then(
        () => note("The link is copied."),
        () => note("The link is in the address bar."),
      );
    }}
  >
    {children}
  </button>
);
