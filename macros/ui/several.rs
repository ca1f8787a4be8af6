#[scenario(validatos = 3, backend = "docker", duration = "90", layout = "stra")]
fn f<T>(run: &mut Run) {}
