"use strict";
window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("swagger");
  // Without links inside its buttons, which no keyboard reaches.
  window.SwaggerUIBundle({ url: place.dataset.url, domNode: place, validatorUrl: null, deepLinking: false, defaultModelsExpandDepth: -1 });
});
