CREATE TABLE posts (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title varchar(255) NOT NULL, body text NOT NULL,
    created_at timestamp NOT NULL, updated_at timestamptz);
CREATE TABLE tags (id serial PRIMARY KEY, name varchar(255) NOT NULL, seen date);
CREATE TABLE posts_tags (post_id int NOT NULL REFERENCES posts ON DELETE CASCADE, tag_id int NOT NULL REFERENCES tags ON DELETE CASCADE,
    PRIMARY KEY (post_id, tag_id));
CREATE TABLE comments (id serial PRIMARY KEY, post_id int NOT NULL REFERENCES posts ON DELETE CASCADE, author varchar(255) NOT NULL,
    body text NOT NULL, created_at timestamp NOT NULL);
CREATE TABLE votes (id serial PRIMARY KEY, comment_id int NOT NULL REFERENCES comments ON DELETE CASCADE, created_at timestamp NOT NULL);
CREATE TABLE users (id serial PRIMARY KEY, attributes jsonb NOT NULL);
CREATE TABLE assets (id serial PRIMARY KEY, data bytea NOT NULL);
CREATE TABLE accounts (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users ON DELETE CASCADE, currency varchar(3) NOT NULL,
    balance int NOT NULL, created_at timestamp NOT NULL);
CREATE TABLE transactions (id serial PRIMARY KEY, account_id int NOT NULL REFERENCES accounts ON DELETE CASCADE,
    user_id int NOT NULL REFERENCES users ON DELETE CASCADE, amount int NOT NULL, created_at timestamp NOT NULL);
