/** Where the page begins. */
import { render } from "preact";
import { followSelection } from "./conversation.ts";
import { followKeys } from "./keys.ts";
import { followPlace } from "./place.ts";
import { line, selected } from "./state.ts";
import { App } from "./ui/app.tsx";
import { pane } from "./ui/panes.ts";

followSelection();
followPlace();
followKeys();
selected.subscribe((id) => {
  if (id !== undefined) pane.value = "thread";
});
render(<App />, document.getElementById("studio") ?? document.body);
void line.open();
