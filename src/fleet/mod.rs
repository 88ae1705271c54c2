//! The live side: SSH, Docker, shipping, nginx.
