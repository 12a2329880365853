/** The form for people without a camera: a photo in, the swapped photo out. */

import { gettext } from "./text.js";

/** @param {HTMLFormElement} form @param {() => string} identity */
export function pictureForm(form, identity) {
  const send = form.querySelector("#picture-send");
  const status = form.querySelector("#picture-status");
  const result = form.querySelector("#picture-result");
  const image = result.querySelector("img");
  const link = result.querySelector("a");

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = new FormData(form);
    body.set("identity", identity());
    send.disabled = true;
    result.hidden = true;
    status.textContent = gettext("Swapping the face…");
    try {
      const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!response.ok) {
        const answer = await response.json().catch(() => ({}));
        throw new Error(answer.error?.message ?? gettext("It did not work. Try again in a moment."));
      }
      const swapped = response.headers.get("X-Faceswap-Swapped") === "true";
      URL.revokeObjectURL(image.src);
      image.src = link.href = URL.createObjectURL(await response.blob());
      result.hidden = false;
      status.textContent = swapped
        ? gettext("Done.")
        : gettext("No face was found in this photo. Choose one that shows your face from the front.");
    } catch (error) {
      status.textContent =
        error instanceof TypeError ? gettext("The server does not answer. Check the connection and try again.") : error.message;
    } finally {
      send.disabled = false;
    }
  });
}
