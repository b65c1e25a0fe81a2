//! Reference implementation of the models in plain loops: no candle, no cache, no batch, no code of the engine.

use std::collections::HashMap;

/// Tensors by Hugging Face's names, row by row.
pub(crate) type Tensors = HashMap<String, Vec<f32>>;

#[derive(Clone)]
pub(crate) struct Reference {
    pub hidden: usize,
    pub intermediate: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab: usize,
    pub eps: f32,
    pub theta: f32,
    /// Stretches one inverse frequency.
    pub stretch: fn(f32) -> f32,
    pub tensors: Tensors,
}

impl Reference {
    /// Logits after the last of `tokens`.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        let embedding = self.tensor("model.embed_tokens.weight");
        let mut hidden: Vec<Vec<f32>> = tokens
            .iter()
            .map(|&token| embedding[token as usize * self.hidden..][..self.hidden].to_vec())
            .collect();
        for layer in 0..self.layers {
            self.add_attention(layer, &mut hidden);
            self.add_mlp(layer, &mut hidden);
        }
        let last = self.norm(hidden.last().unwrap(), self.tensor("model.norm.weight"));
        let head = self.tensors.get("lm_head.weight").unwrap_or(embedding);
        product(head, &last, self.vocab)
    }

    fn add_attention(&self, layer: usize, hidden: &mut [Vec<f32>]) {
        let part = |name: &str| format!("model.layers.{layer}.{name}");
        let dim = self.head_dim;
        let project = |normed: &[f32], which: &str, heads: usize| {
            let mut out = product(
                self.tensor(&part(&format!("self_attn.{which}_proj.weight"))),
                normed,
                heads * dim,
            );
            if let Some(bias) = self.tensors.get(&part(&format!("self_attn.{which}_proj.bias"))) {
                for i in 0..out.len() {
                    out[i] += bias[i];
                }
            }
            out
        };
        let (mut queries, mut keys, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (position, row) in hidden.iter().enumerate() {
            let normed = self.norm(row, self.tensor(&part("input_layernorm.weight")));
            let mut q = project(&normed, "q", self.heads);
            let mut k = project(&normed, "k", self.kv_heads);
            for (which, heads) in [("q", &mut q), ("k", &mut k)] {
                for head in heads.chunks_mut(dim) {
                    if let Some(weight) =
                        self.tensors.get(&part(&format!("self_attn.{which}_norm.weight")))
                    {
                        let normed = self.norm(head, weight);
                        head.copy_from_slice(&normed);
                    }
                    self.rotate(head, position);
                }
            }
            queries.push(q);
            keys.push(k);
            values.push(project(&normed, "v", self.kv_heads));
        }
        for position in 0..hidden.len() {
            let mut mixed = vec![0.0; self.heads * dim];
            for head in 0..self.heads {
                let shared = head / (self.heads / self.kv_heads);
                let query = &queries[position][head * dim..(head + 1) * dim];
                let mut weights = Vec::new();
                for key in &keys[..=position] {
                    let mut score = 0.0;
                    for i in 0..dim {
                        score += query[i] * key[shared * dim + i];
                    }
                    weights.push(score / (dim as f32).sqrt());
                }
                let top = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = weights.iter().map(|weight| (weight - top).exp()).sum();
                for (weight, value) in weights.iter().zip(&values) {
                    for i in 0..dim {
                        mixed[head * dim + i] +=
                            (weight - top).exp() / sum * value[shared * dim + i];
                    }
                }
            }
            let out = product(self.tensor(&part("self_attn.o_proj.weight")), &mixed, self.hidden);
            for i in 0..self.hidden {
                hidden[position][i] += out[i];
            }
        }
    }

    fn add_mlp(&self, layer: usize, hidden: &mut [Vec<f32>]) {
        let part = |name: &str| self.tensor(&format!("model.layers.{layer}.{name}.weight"));
        for row in hidden {
            let normed = self.norm(row, part("post_attention_layernorm"));
            let gate = product(part("mlp.gate_proj"), &normed, self.intermediate);
            let mut up = product(part("mlp.up_proj"), &normed, self.intermediate);
            for i in 0..self.intermediate {
                up[i] *= gate[i] / (1.0 + (-gate[i]).exp());
            }
            let down = product(part("mlp.down_proj"), &up, self.hidden);
            for i in 0..self.hidden {
                row[i] += down[i];
            }
        }
    }

    fn norm(&self, row: &[f32], weight: &[f32]) -> Vec<f32> {
        let mut squares = 0.0;
        for value in row {
            squares += value * value;
        }
        let scale = 1.0 / (squares / row.len() as f32 + self.eps).sqrt();
        row.iter().zip(weight).map(|(value, weight)| value * scale * weight).collect()
    }

    fn rotate(&self, head: &mut [f32], position: usize) {
        let half = self.head_dim / 2;
        for i in 0..half {
            let frequency =
                (self.stretch)(1.0 / self.theta.powf(2.0 * i as f32 / self.head_dim as f32));
            let angle = position as f32 * frequency;
            let (low, high) = (head[i], head[i + half]);
            head[i] = low * angle.cos() - high * angle.sin();
            head[i + half] = high * angle.cos() + low * angle.sin();
        }
    }

    fn tensor(&self, name: &str) -> &Vec<f32> {
        self.tensors.get(name).unwrap_or_else(|| panic!("the reference has no {name}"))
    }
}

fn product(matrix: &[f32], vector: &[f32], rows: usize) -> Vec<f32> {
    assert_eq!(matrix.len(), rows * vector.len());
    let mut out = Vec::new();
    for row in 0..rows {
        let mut sum = 0.0;
        for column in 0..vector.len() {
            sum += matrix[row * vector.len() + column] * vector[column];
        }
        out.push(sum);
    }
    out
}
