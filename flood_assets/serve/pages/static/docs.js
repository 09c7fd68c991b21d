"use strict";
window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("swagger");
  window.SwaggerUIBundle({ url: place.dataset.url, domNode: place, validatorUrl: null, deepLinking: true, defaultModelsExpandDepth: -1 });
});
