/** What the relay's codes mean, in the visitor's language; the relay itself writes English, for whoever reads its log. */

import { gettext } from "./text.js";

const RELOAD = gettext("The page and the server do not understand each other. Reload the page.");
const REFUSED = gettext("The session is not valid any more. Reload the page.");
const AT_FAULT = gettext("Something failed on the server. Its log says what.");
const UNUSABLE = gettext("The files of this face cannot be used. Choose another one.");
const TOO_LARGE = gettext("The camera's picture is too large. Choose another camera.");
const NO_FRAME = gettext("The server could not use this frame of the camera. It goes on with the next.");

/** By `code` of the messages `error` and `stats`: those of websocket_server/errors.py, and the prediction service's types. */
const SENTENCES = {
  going_away: gettext("The server is restarting."),
  bad_message: RELOAD,
  bad_utf8: RELOAD,
  too_big: RELOAD,
  too_many_messages: RELOAD,
  bad_hello: RELOAD,
  unknown_message: RELOAD,
  stale_sequence: RELOAD,
  bad_options: RELOAD,
  bad_instance: RELOAD,
  refused: NO_FRAME,
  bad_token: REFUSED,
  bad_renewal: REFUSED,
  internal: AT_FAULT,
  labelling_failed: AT_FAULT,
  face_model_missing: AT_FAULT,
  engine_file_refused: UNUSABLE,
  package_refused: UNUSABLE,
  unknown_identity: gettext("This face is not there any more. Reload the page, and choose another one."),
  identity_not_allowed: gettext("This session may not wear this face. Reload the page, and choose it again."),
  revoked: gettext("This face or this session has been revoked."),
  overloaded: gettext("The server has as many sessions as it can hold. Try again in a while."),
  no_hello: gettext("The connection is too slow: nothing arrived in time."),
  slow_reader: gettext("The connection is too slow for the picture."),
  idle: gettext("Nothing came from this page for a while. Press Start to go on."),
  session_over: gettext("The session has lasted as long as it may. Press Start for another one."),
  too_many_sessions: gettext("This session goes on in another window, or too many are open at this address. Close one of them."),
  prediction_unavailable: gettext("The face swapping service does not answer. It is asked again until it does."),
  prediction_late: gettext("The face swapping service is late. It is asked again until it is in time."),
  prediction_busy: gettext("The face swapping service is busy. It is asked again until it has time."),
  store_unreachable: gettext("The face swapping service cannot read its files now. It is asked again until it can."),
  empty_picture: NO_FRAME,
  unreadable_picture: NO_FRAME,
  request_too_large: NO_FRAME,
  held: NO_FRAME,
  too_many_pixels: TOO_LARGE,
  picture_too_large: TOO_LARGE,
  picture_too_small: gettext("The camera's picture is too small. Choose another camera."),
};

/** The sentence for `code`, or the server's own for one that is not known here. */
export const sentenceOf = (code, own) => (Object.hasOwn(SENTENCES, code) ? SENTENCES[code] : (own ?? ""));
